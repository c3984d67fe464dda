"""Exclusive bounds of numbers as inclusive ones.

Between 2 (exclusive) and 2.5, llguidance 1.9 also generates 2: its regular expression leaves the fraction out. The same
happens at every whole number whose interval lies on the side away from zero.
"""

import math
from typing import Any

MIN_GAP = 1e-9  # between an exclusive bound and the number nearest to it that can be generated
MAX_BOUND = 9 * 10**18  # llguidance has no regular expression for larger ones
MIN_RELATIVE_GAP = 1e-15  # llguidance takes numbers that are closer for equal


def include_bounds(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with bounds up to MAX_BOUND, and inclusive ones beside whole numbers that llguidance would not exclude."""
    bounds = dict(schema)
    for keyword in schema.keys() & {"minimum", "exclusiveMinimum"}:
        bounds[keyword] = max(schema[keyword], -MAX_BOUND)
    for keyword in schema.keys() & {"maximum", "exclusiveMaximum"}:
        bounds[keyword] = min(schema[keyword], MAX_BOUND)
    lower, upper = bounds.get("exclusiveMinimum", -1), bounds.get("exclusiveMaximum", 1)
    if lower >= 0 and lower % 1 == 0:
        del bounds["exclusiveMinimum"]
        bounds["minimum"] = max(lower + _gap(lower), bounds.get("minimum", -math.inf))
    if upper <= 0 and upper % 1 == 0:
        del bounds["exclusiveMaximum"]
        bounds["maximum"] = min(upper - _gap(upper), bounds.get("maximum", math.inf))
    return bounds


def _gap(bound: float) -> float:
    return max(MIN_GAP, MIN_RELATIVE_GAP * abs(bound))
