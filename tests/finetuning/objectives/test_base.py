"""Settings, their ranges, and the terms of a batch."""

from dataclasses import dataclass, fields

import numpy as np
import pytest

from lmcraft.data.loader import IGNORE_INDEX, Batch
from lmcraft.errors import UserError
from lmcraft.finetuning.objectives.base import (
    Bounds,
    FinetuneObjective,
    count_rows,
    count_targets,
    setting,
    with_example_number,
)


@dataclass(frozen=True, kw_only=True)
class Example(FinetuneObjective):
    weight: float = setting(0.5, "Weight of something.", above=0, at_most=1)
    name: str = setting("a", "Name of something.")


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "text"),
    [
        (Bounds(above=0), 0.1, 0.0, "greater than 0"),
        (Bounds(at_least=2), 2, 1, "at least 2"),
        (Bounds(at_least=0, below=1), 0.0, 1.0, "at least 0 and less than 1"),
        (Bounds(above=0, at_most=1), 1.0, 1.1, "greater than 0 and at most 1"),
    ],
)
def test_bounds_contain_and_name_their_range(bounds: Bounds, inside: float, outside: float, text: str) -> None:
    assert bounds.contain(inside) and not bounds.contain(outside) and str(bounds) == text
    assert Bounds().contain(-1e9)


def test_a_setting_is_a_field_with_default_help_and_range() -> None:
    assert Example() == Example(weight=0.5, name="a") and [f.name for f in fields(Example)] == ["weight", "name"]
    assert fields(Example)[0].metadata["help"] == "Weight of something."
    Example(weight=1.0).check()
    with pytest.raises(UserError, match="weight=2 is out of range: it must be greater than 0 and at most 1"):
        Example(weight=2.0).check()


def test_terms_are_targets_or_rows_with_targets() -> None:
    targets = np.array([[1, 2, IGNORE_INDEX], [IGNORE_INDEX] * 3])
    batch = Batch(np.zeros_like(targets), targets, np.zeros_like(targets))
    assert count_targets(batch) == 2 and count_rows(batch) == 1 and Example().count(batch) == 2


def test_an_error_has_the_number_of_the_example() -> None:
    def refuse(text: str) -> None:
        raise UserError(text)

    with pytest.raises(UserError, match="example 3: no answer"):
        with_example_number(2, refuse, "no answer")
