"""Answers to prompts, which nobody judges."""

from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.prompts import DEFAULT_PROMPTS, prompt_task
from lmcraft.evaluation.run import Evaluation, open_method


def test_each_line_of_a_text_is_a_prompt(model: EvaluatedModel, tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text(f"the quick\r\n\n  brown fox  \n{'fox ' * 100}\n")
    task = prompt_task(file, chat=False, max_new_tokens=8)
    evaluation = Evaluation(model, "hash", {}, tmp_path / "results")
    method, result = open_method(task), evaluation.run(task)
    assert [method.prompt(row) for row in method.rows] == ["the quick", "brown fox", ("fox " * 100).strip()]
    answers = [method.answer_text(row, item) for row, item in zip(method.rows, result.items, strict=True)]
    assert answers[0] == model.model.complete("the quick", do_sample=False, max_new_tokens=8)
    assert answers[2].startswith("(it needs 400 tokens, but the model's context has 256")
    assert evaluation.run(task).was_cached


def test_a_table_has_a_column_of_prompts(model: EvaluatedModel, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "the"}\n{"prompt": " "}\n')
    with pytest.raises(UserError, match=r"mine\.jsonl:2: its prompt is empty: write one"):
        open_method(prompt_task(file, chat=False, max_new_tokens=8))
    file.write_text('{"text": "the"}\n')
    with pytest.raises(UserError, match=r"mine\.jsonl:1: its prompt .* the columns are text"):
        open_method(prompt_task(file, chat=False, max_new_tokens=8))


def test_the_default_prompts_are_some_short_ones() -> None:
    method = open_method(prompt_task(DEFAULT_PROMPTS, chat=False, max_new_tokens=8))
    assert 5 <= len(method.rows) <= 10
