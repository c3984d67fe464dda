"""The speed of prompts is measured for each type of weights, and kept."""

import pytest

from lmcraft.cpp.library import BuildError
from lmcraft.inference import prompt_speed
from lmcraft.inference.native.build import load_library
from lmcraft.inference.prompt_speed import prompt_flops


def test_the_speed_of_each_type_of_weights_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        load_library()
    except BuildError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(prompt_speed, "MAX_MEASURE_SECONDS", 1e-9)
    monkeypatch.setattr(prompt_speed, "measure_once", lambda kind, names, measure: measure())
    assert set(flops := prompt_flops()) == {"float32", "bfloat16", "int8", "int4"}
    assert all(value > 0 for value in flops.values())
