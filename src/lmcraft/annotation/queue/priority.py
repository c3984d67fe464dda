"""Which item comes next: the formula of its priority.

    priority = severity + uncertainty + log10(traffic) + 0.5 if a user reported it

Severity and uncertainty are each between 0 and 1, so neither outweighs the other: a text that may do great harm is worth a
look even if the policy is sure, and a text about which it is unsure teaches the most (uncertainty sampling, Lewis and Gale
1994, arXiv cmp-lg/9407020). Traffic counts by its logarithm, since it spans orders of magnitude: ten times as many people
who met a text are worth one whole step of severity. A report adds a half, as somebody has already taken offense.
"""

import math

REPORT_BONUS = 0.5


def priority_of(*, severity: float, uncertainty: float, traffic: int, is_reported: bool) -> float:
    """The priority of an item; the highest comes first.

    Args:
        severity: from 0 to 1.
        uncertainty: from 0 to 1.
        traffic: how often the content was seen, at least 1.
        is_reported: whether a user reported it.
    """
    return severity + uncertainty + math.log10(traffic) + (REPORT_BONUS if is_reported else 0.0)


def uncertainty_of(score: float) -> float:
    """How unsure a score between 0 and 1 is: 1 at one half, 0 at both ends."""
    return 1.0 - abs(2.0 * min(max(score, 0.0), 1.0) - 1.0)
