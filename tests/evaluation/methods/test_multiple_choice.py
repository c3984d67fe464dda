"""Multiple choice: what is asked, what is right, and what is refused."""

from math import exp, log
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.methods.multiple_choice import MultipleChoice, find_choice
from tests.evaluation.conftest import WriteTask

ROW = {"question": "the quick", "endings": ["brown fox", "lazy dogs", "fox"], "label": 1}
SETTINGS = {"kind": "multiple_choice", "prompt": "Line: {{ question }}", "choices": "endings", "answer": "label"}


def score(write_task: WriteTask, model: EvaluatedModel, rows: list[dict[str, Any]], **settings: Any) -> list[Any]:
    task = write_task(rows, **SETTINGS | settings)
    method = MultipleChoice(task, task.rows())
    return [result for batch in method.score(model, frozenset()) for result in batch]


def test_figures_are_those_of_the_likelihoods(write_task: WriteTask, model: EvaluatedModel) -> None:
    [result] = score(write_task, model, [ROW])
    totals = [model.score([model.encode_answer("Line: the quick", choice)])[0].total for choice in ROW["endings"]]
    by_length = [total / len(choice) for total, choice in zip(totals, ROW["endings"], strict=True)]
    assert result.values["acc"] == (totals.index(max(totals)) == 1)
    assert result.values["acc_norm"] == (by_length.index(max(by_length)) == 1)
    assert result.values["bits_per_byte"] == pytest.approx(-totals[1] / log(2), abs=1e-4)
    assert result.weights["bits_per_byte"] == len("lazy dogs")
    weights = [exp(total) for total in totals]
    assert result.details["probabilities"] == pytest.approx([weight / sum(weights) for weight in weights], abs=1e-5)


def test_choices_can_be_templates(write_task: WriteTask, model: EvaluatedModel) -> None:
    rows = [{"question": "the", "a": "quick", "b": "brown", "right": "b"}]
    expressions = {"choices": ["{{ a }}", "{{ b }}"], "answer": "row[right]"}
    [result] = score(write_task, model, rows, **expressions)
    assert result.details["gold"] == 1


def test_examples_come_first_and_are_not_scored(write_task: WriteTask, model: EvaluatedModel) -> None:
    rows = [ROW, {**ROW, "question": "the lazy", "label": 0}]
    task = write_task(rows, **SETTINGS, few_shot={"count": 1})
    method = MultipleChoice(task, task.rows())
    assert [question.prompt for question in method.questions.values()] == ["Line: the quick lazy dogs\n\nLine: the lazy"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1), ("1", 1), (1.0, 1), ("B", 1), (" b ", 1), ("lazy dogs", 1), (3, None), (-1, None), ("D", None), (None, None)],
)
def test_an_answer_is_a_text_a_letter_or_an_index(value: object, expected: int | None) -> None:
    assert find_choice(value, ROW["endings"]) == expected


def test_the_text_of_a_choice_comes_before_its_index() -> None:
    assert find_choice("2", ["3", "2", "1"]) == 1
    assert find_choice(2, ["3", "2", "1"]) == 2
    assert find_choice(True, ["True", "False"]) == 0


@pytest.mark.parametrize(
    ("row", "settings", "message"),
    [
        ({"endings": ["a"]}, {}, r"jsonl:1: the number of its choices is 1: a question needs 2 or more"),
        ({"endings": "a b"}, {}, r"jsonl:1: its choices are 'a b', not a list"),
        ({"label": 3}, {}, r"jsonl:1: its answer 3 is none of its choices: 'brown fox', 'lazy dogs', 'fox'"),
        (
            {},
            {"prompt": "{{ passage }}"},
            r"jsonl:1: its prompt cannot be rendered: 'passage' is undefined; the columns are",
        ),
        ({}, {"prompt": "{{ question"}, r"jsonl:1: its prompt cannot be rendered"),
        ({}, {"answer": "right"}, r"jsonl:1: its answer cannot be rendered: 'right' is undefined; the columns are"),
        ({}, {"choices": "answers"}, r"jsonl:1: its choices cannot be rendered: 'answers' is undefined; the columns are"),
        ({}, {"choices": ["{{ question }}"]}, r"task 'toy': choices='{{ question }}' is one template: write one for each"),
        ({"endings": ["fox", "dog", "fox"], "label": "fox"}, {}, r"jsonl:1: its answer 'fox' is 2 of its choices"),
        ({}, {"answer": ""}, r"task 'toy' has no answer, which kind='multiple_choice' needs"),
        ({"endings": ["a", ""], "label": 1}, {}, r"jsonl:1: one of its choices is ''"),
        ({"question": "quick " * 60}, {}, r"jsonl:1: it needs \d+ tokens, but the model's context has 256"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(
    write_task: WriteTask, model: EvaluatedModel, row: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        score(write_task, model, [ROW | row], **settings)
