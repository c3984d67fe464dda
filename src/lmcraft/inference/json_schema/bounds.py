"""Exclusive bounds of numbers as inclusive ones.

Between 2 (exclusive) and 2.5, llguidance 1.9 also generates 2: its regular expression leaves the fraction out. The same
happens at every whole number whose interval lies on the side away from zero.
"""

import math
from typing import Any

MIN_GAP = 1e-9  # between an exclusive bound and the number nearest to it that can be generated
MIN_RELATIVE_GAP = 1e-15  # llguidance takes numbers that are closer for equal


def include_bounds(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with an inclusive bound beside each whole number that llguidance would not exclude."""
    bounds = dict(schema)
    lower, upper = schema.get("exclusiveMinimum", -1), schema.get("exclusiveMaximum", 1)
    if lower >= 0 and lower % 1 == 0:
        del bounds["exclusiveMinimum"]
        bounds["minimum"] = max(lower + _gap(lower), schema.get("minimum", -math.inf))
    if upper <= 0 and upper % 1 == 0:
        del bounds["exclusiveMaximum"]
        bounds["maximum"] = min(upper - _gap(upper), schema.get("maximum", math.inf))
    return bounds


def _gap(bound: float) -> float:
    return max(MIN_GAP, MIN_RELATIVE_GAP * abs(bound))
