"""Severity and uncertainty of an item, from the decision of a policy about its text."""

from collections.abc import Mapping
from typing import Any

from lmcraft.annotation.queue.priority import uncertainty_of

# How grave the harm is if a text of this category passes, 0 to 1, for the order of the queue only. Harm to life and to
# children comes first, then harm to a person or a group, then what only annoys.
SEVERITY: Mapping[str, float] = {
    "sexual_minors": 1.0,
    "weapons": 1.0,
    "self_harm": 0.9,
    "threat": 0.8,
    "violence": 0.8,
    "hate": 0.8,
    "illicit": 0.7,
    "privacy": 0.6,
    "jailbreak": 0.6,
    "defamation": 0.5,
    "advice": 0.5,
    "harassment": 0.5,
    "politics": 0.5,
    "sexual": 0.5,
    "unethical": 0.4,
    "copyright": 0.3,
    "profanity": 0.2,
    "spam": 0.2,
}
UNKNOWN_SEVERITY = 0.5  # of a category of another list
UNJUDGED = (0.5, 1.0)  # a tier failed, so nothing is known about the text
NOTHING_SEEN = (0.0, 0.0)


def weigh_decision(decision: Mapping[str, Any]) -> tuple[float, float]:
    """Severity and uncertainty, each from 0 to 1, of a text.

    The severity is that of the gravest category that counted. The uncertainty is 1 - |2s - 1|, where s is the deciding
    score: that of the first category that counted, or the highest score if none did.

    Args:
        decision: a decision record (`Decision.as_json`), perhaps of another program: what it lacks counts as not seen.
    """
    if decision.get("failed"):
        return UNJUDGED
    raw = decision.get("scores")
    scores = {str(name): _share(score) for name, score in raw.items()} if isinstance(raw, Mapping) else {}
    counted = decision.get("categories")
    names = [str(name) for name in counted] if isinstance(counted, list | tuple) else []
    names = names or sorted(scores, key=lambda name: -scores[name])[:1]
    if not names:
        return NOTHING_SEEN
    deciding = scores.get(names[0])
    severity = max(SEVERITY.get(name, UNKNOWN_SEVERITY) for name in names)
    return severity, 1.0 if deciding is None else uncertainty_of(deciding)


def _share(value: Any) -> float:
    """A number from 0 to 1; one half if it is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and value == value  # not NaN
    return float(min(max(value, 0.0), 1.0)) if is_number else 0.5
