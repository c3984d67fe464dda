"""The objectives of fine-tuning, one file each; docs/add-an-objective.md shows how to add one.

| file | holds |
|---|---|
| `base.py` | `FinetuneObjective`: the base class; `setting`: declares a setting of an objective |
| `registry.py` | `OBJECTIVES`: the objectives by their `--objective` names |
| `sft.py`, `continued.py`, `distillation.py` | cross-entropy of tokens, with a KL penalty or a teacher |
| `dpo.py` (DPO and IPO), `orpo.py`, `unlikelihood.py`, `kto.py`, `reward.py` | preferences and judgments |
| `classification.py` | labels of texts |
| `grpo.py`, `quantile.py`, `reward_function.py` | reinforcement learning from a reward function |
| `preferences.py`, `log_probs.py`, `divergence.py`, `rollouts.py` | parts that several objectives share |

`lmcraft finetune --help` reads the settings in these classes. So that it does not import torch, `base.py`, `registry.py` and
the objectives import torch inside functions only.
"""
