"""The safety audit of a model: `lmcraft audit safety`, and the same measurements for Python.

- `toxicity.py`: how toxic continuations get; `scorer.py`: what scores them, pinned by a hash
- `over_refusal.py`, `harmless_*.csv`: harmless questions that a model refuses; `refusals.py`: what counts as a refusal
- `probes.py`, `parts.py`: these as tasks of `Evaluation`, and the lists of prompts; `groups.csv`
- `audit.py`: the figures of all parts, and the comparison with a reference; `gaps.py`: gaps between groups
- `sampling.py`, `questions.py`: the texts that a model writes
"""

from lmcraft.audits.safety.audit import SafetyAudit
from lmcraft.audits.safety.over_refusal import OverRefusalResult, harmless_questions, measure_over_refusal
from lmcraft.audits.safety.parts import toxic_prompts
from lmcraft.audits.safety.scorer import ModeratorScorer, Scorer, open_scorer
from lmcraft.audits.safety.toxicity import ToxicityResult, measure_toxicity

__all__ = [
    "ModeratorScorer",
    "OverRefusalResult",
    "SafetyAudit",
    "Scorer",
    "ToxicityResult",
    "harmless_questions",
    "measure_over_refusal",
    "measure_toxicity",
    "open_scorer",
    "toxic_prompts",
]
