"""The last tier: a language model that was trained to judge texts, such as Qwen3Guard.

- `qwen3guard.py`: its prompt, the grammar of its answer, and the probabilities of its labels
"""

from lmcraft.moderation.guard_model.qwen3guard import GuardModel, open_guard_model

__all__ = ["GuardModel", "open_guard_model"]
