"""The loop of recipes/review with a tiny model: reports of a user become a test, which the tuned model passes."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.finetuning.chat import chat_folder

RECIPE = Path(__file__).parents[4] / "recipes/review/loop.py"
TUNING = ("--max-steps", "30", "--optimizer.learning-rate", "1e-2", "--precision", "fp32")


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the recipe."""
    spec = importlib.util.spec_from_file_location("review_loop", RECIPE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "review_loop", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_reported_answers_become_a_test_that_the_tuned_model_passes(
    browser: Any, recipe: ModuleType, tmp_path: Path
) -> None:
    def shorten(case: Any) -> Any:
        """A tiny model cannot learn words, but which answer is the more likely one."""
        opinions = {person: replace(opinion, contains="") for person, opinion in case.opinions.items()}
        return replace(case, opinions=opinions, report=case.report or "bad")

    model = str(chat_folder(tmp_path / "model", max_position_embeddings=512))
    cases = [shorten(case) for case in recipe.CASES[:2]]
    (work := tmp_path / "work").mkdir()
    recipe.review(recipe.Loop(work, browser, None), model, cases)
    figures = recipe.tune(work, model, TUNING, ["--precision", "fp32"])
    assert figures["old"]["regressions"] == {"items": 2, "passed": []}
    assert len(figures["new"]["regressions"]["passed"]) == 2
    assert not any(name in (work / "examples/manifest.json").read_text() for name in ("anna", "cleo"))
