"""Checks: when an explanation does better than random."""

from typing import Literal

import pytest

from lmcraft.interpretability.explanation import Check


def check(after: float, random: list[float], expected: Literal["falls", "rises"] | None = None) -> Check:
    return Check("head 1.0", "ablated", "logit", 2.0, after, random, expected)


def test_a_check_is_passed_if_hardly_any_random_one_has_the_effect() -> None:
    assert check(1.0, [1.9] * 19).p_value == 0.05 and check(1.0, [1.9] * 19).is_passed
    assert check(1.0, [1.9] * 18 + [0.5]).p_value == 0.1 and not check(1.0, [1.9] * 18 + [0.5]).is_passed
    assert not check(1.0, [1.9] * 18).is_possible and not check(1.0, [1.9] * 18).is_passed


@pytest.mark.parametrize("expected", [None, "falls", "rises"])
def test_only_an_effect_in_the_expected_direction_passes(expected: Literal["falls", "rises"] | None) -> None:
    assert check(1.0, [1.9] * 19, expected).is_passed == (expected != "rises")
    assert check(3.0, [3.5] * 19, "falls").p_value == 0.05 and not check(3.0, [3.5] * 19, "falls").is_passed


def test_no_effect_passes_no_check() -> None:
    assert not check(2.0, [2.0] * 19).is_passed
