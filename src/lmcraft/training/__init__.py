"""The training loop that every objective shares.

| file | contents |
|---|---|
| `loop` | `Trainer`: steps, validation, samples, checkpoints, in any number of processes |
| `config` | the settings of a run that do not depend on its objective |
| `batch` | a batch as tensors |
| `fill_in_middle` | rows of text for fill-in-the-middle |
| `dp/` | training with differential privacy |
| `gradients` | the gradients of a step |
| `objective` | the `Objective` protocol, and next-token prediction |
| `cross_entropy` | fused output projection and cross-entropy, which never holds all logits |
| `optimizer`, `muon` | parameter groups, clipping, penalties, decay; Muon and NorMuon |
| `width_transfer` | learning rates of a narrow model, scaled to a wide one |
| `schedule` | learning-rate schedules |
| `depth_rule` | sizes, rates and lengths that follow from `depth` |
| `autotune` | chooses attention, compilation, length and micro-batch once per run |
| `costs` | the measured time and energy of each part of a run |
| `account`, `run_status` | what all starts of a run draw: energy.json; how far it is: status.json |
| `budget`, `length` | what is left of a run's time and energy; its length, planned again while it trains |
| `compilation` | torch.compile, block by block |
| `memory`, `micro_batch` | the memory of a step, and the rows that fit into it |
| `processes`, `sharding` | the processes of a distributed run; tensor parallelism and FSDP |
| `checkpoint`, `snapshots` | checkpoints without pickles, written in the background; copies of the model that stay |
| `continuation`, `history` | what a resumed run may change; the starts of a run |
| `validation` | the validation data and their loss, in total and of each source |
| `run_log`, `display` | metrics.jsonl, samples.jsonl and TensorBoard; the progress bar |
| `task_scores` | the scores of the weights on tasks |
| `range_test` | the learning-rate range test |
| `signals` | stopping on SIGINT and SIGTERM |
| `environment` | environment variables and malloc settings, set before torch starts |
"""
