"""Keeps harmful text out of training data, prompts and answers, by one policy: `lmcraft guard`.

- `categories.py`: the kinds of harm, and their names in other lists
- `policy.py`, `policies/`: the policy file; `decision.py`: what tiers report and what the policy decides
- `normalized_text.py`, `normalization/`: a text with its disguises undone
- `lexicon/`, `classifier/`, `guard_model/`: the tiers, cheap first
- `pairs.py`: preference pairs of a model's answers, for `finetune --objective dpo`
- `moderator.py`: asks the tiers, and fails closed
- `characters.py`: passages end where characters end
- `streaming.py`: holds back what is not judged yet
- `judge_process.py`, `judge_program.py`: a moderator in a process of its own
"""

from lmcraft.moderation.categories import toxicity
from lmcraft.moderation.decision import Action, Decision, Finding
from lmcraft.moderation.moderator import Moderator
from lmcraft.moderation.policy import Policy, read_policy

__all__ = ["Action", "Decision", "Finding", "Moderator", "Policy", "read_policy", "toxicity"]
