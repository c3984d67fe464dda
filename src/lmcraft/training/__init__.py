"""The training loop that every objective shares.

| file | contents |
|---|---|
| `loop` | `Trainer`: steps, validation, samples, checkpoints, in any number of processes |
| `config` | the settings of a run that do not depend on its objective |
| `objective` | the `Objective` protocol, and next-token prediction |
| `cross_entropy` | output projection and cross-entropy in one, without the whole logits |
| `optimizer`, `muon` | parameter groups, clipping, penalties, decay; Muon and NorMuon |
| `schedule` | learning-rate schedules |
| `depth_rule` | sizes, rates and lengths that follow from `depth` |
| `autotune` | attention, compiling, length and micro-batch, decided once per run |
| `compilation` | torch.compile, block by block |
| `memory`, `micro_batch` | the memory of a step, and how many rows fit into it |
| `processes`, `sharding` | the processes that share a run, and the model cut over them |
| `checkpoint` | checkpoints without pickles, written while the run goes on |
| `metrics`, `display` | metrics.jsonl, samples.jsonl and TensorBoard; the progress bar |
| `range_test` | the learning-rate range test |
| `signals` | stopping on SIGINT and SIGTERM |
| `environment` | environment variables and malloc settings, before torch starts |
"""
