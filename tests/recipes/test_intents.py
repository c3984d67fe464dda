"""The folds of the recipe intents, its baseline, and its figures."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pytest

from recipes.__main__ import RECIPES


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    """Under a name of its own, since each recipe has a module `recipe`."""
    sys.path.insert(0, str(RECIPES / "intents"))
    spec = spec_from_file_location("intents_recipe", RECIPES / "intents" / "recipe.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_row_is_tested_once_and_never_read_in_that_fold(recipe: ModuleType) -> None:
    rows = [(f"text {n}", "ab"[n % 2]) for n in range(53)]
    tested = []
    for fold in range(recipe.FOLDS):
        training, calibration, test = recipe.split(rows, fold)
        assert sorted(training + calibration + test) == sorted(rows)
        tested += test
    assert sorted(tested) == sorted(rows)


def test_the_linear_model_learns_words(recipe: ModuleType) -> None:
    rows = [
        ("play a song", "music"),
        ("play this album", "music"),
        ("is it raining", "weather"),
        ("rain tomorrow", "weather"),
    ]
    assert recipe.LinearClassifier(rows).labels(["play an old song", "will it be raining"]) == ["music", "weather"]


def test_figures(recipe: ModuleType) -> None:
    answers = [recipe.Answer(f"{n}", "a", "a", 0.9, 0.99, n > 1, "b" if n == 0 else "a") for n in range(20)]
    right, error, sure, kept, unsure = recipe.figures(answers, declined=3, strangers=4)
    assert (right.result, right.baseline, sure.result, kept.result, unsure.result) == (1.0, 0.95, 1.0, 0.9, 0.75)
    assert error.result == pytest.approx(0.1) and error.baseline == pytest.approx(0.01)
