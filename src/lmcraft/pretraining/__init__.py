"""Pretraining: next-token training from scratch, planning a run, and scaling laws.

| file | contents |
|---|---|
| `config` | the settings of `lmcraft pretrain`, `plan` and `scaling` |
| `run` | assembles and trains a run; the learning-rate range test |
| `run_data` | the rows and the validation data of a run, of one text or of a mixture |
| `objectives/` | what a run learns from text with marks |
| `coordinate_check` | how far a few steps move the activations of models of different widths |
| `plan`, `estimation` | the memory, time and energy of a run before it starts, and how they are estimated |
| `private_plan` | size, batch and length of a run with differential privacy |
| `private_law`, `private_budget` | the law that `private_plan` minimizes, and what the steps may cost |
| `scaling` | a family of small runs, and the larger one that they predict |
| `task_curves`, `family_tasks` | tasks over the sizes and checkpoints of a family: by accuracy and by bits per byte |
| `scaling_law` | the law L(N, D) fitted to the runs of a family, and its predictions |
"""
