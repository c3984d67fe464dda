"""Numbers of NumPy, torch and the standard library."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.scalars import as_python

NUMBERS = [
    (np.int64(3), 3),
    (np.array(3), 3),
    (torch.tensor(3), 3),
    (np.float32(0.5), 0.5),
    (torch.tensor(0.5), 0.5),
    (Decimal("0.5"), 0.5),
    (Decimal(3), 3),
    (Fraction(1, 2), 0.5),
    (np.True_, True),
    (np.str_("a"), "a"),
    (True, True),
    (None, None),
]


@pytest.mark.parametrize(("value", "expected"), NUMBERS)
def test_a_number_gets_the_type_of_python(value: Any, expected: object) -> None:
    assert as_python(value) == expected and type(as_python(value)) is type(expected)


@pytest.mark.parametrize("steps", [np.int32(7), torch.tensor(7), Decimal(7)])
@pytest.mark.parametrize("rate", [np.float32(0.5), Decimal("0.5"), Fraction(1, 2)])
def test_settings_take_numbers_of_any_kind(steps: Any, rate: Any) -> None:
    config = PretrainConfig(data="data", max_steps=steps, time_budget=rate)
    assert (config.max_steps, config.time_budget) == (7, 30)
    generation = GenerationConfig().updated({"max_new_tokens": steps, "temperature": rate, "do_sample": np.True_})
    assert (generation.max_new_tokens, generation.temperature) == (7, 0.5)


@pytest.mark.parametrize("steps", [np.float64(2.5), np.array([3]), np.nan, Decimal("Infinity"), "3", np.True_, 1j])
def test_other_values_are_refused_as_they_are_written(steps: Any) -> None:
    with pytest.raises(UserError, match=r"max_steps=.* is not a whole number"):
        PretrainConfig(data="data", max_steps=steps)
    with pytest.raises(UserError, match=r"max_new_tokens=.* is not a whole number"):
        GenerationConfig().updated({"max_new_tokens": steps})
