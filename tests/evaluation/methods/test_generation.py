"""Exact match: what counts as the answer, and when it is right."""

import pytest

from lmcraft.errors import UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.methods.generation import Generation
from tests.evaluation.conftest import WriteTask

SETTINGS = {"kind": "generation", "prompt": "{{ q }}", "answer": "a", "max_new_tokens": 8}


def test_the_generated_text_is_that_of_the_model(write_task: WriteTask, model: EvaluatedModel) -> None:
    rows = [{"q": f"the quick {n}", "a": "fox"} for n in range(5)]
    task = write_task(rows, **SETTINGS)
    results = [result for batch in Generation(task, task.rows()).score(model, {3}) for result in batch]
    assert sorted(result.item for result in results) == [0, 1, 2, 4]
    for result in results:
        text = model.model.complete(rows[result.item]["q"], do_sample=False, max_new_tokens=8)
        assert result.details["text"] == text
        assert result.values["unfinished"] == 1


@pytest.mark.parametrize(
    ("text", "extract", "answer"),
    [
        ("so 3 + 4 = 7.", r"-?\d+", "7"),
        ("the answer is 12, not 13", r"answer is (-?\d+)", "12"),
        ("no number", r"\d+", None),
        (" brown fox", "", " brown fox"),
    ],
)
def test_the_last_match_is_the_answer(write_task: WriteTask, text: str, extract: str, answer: str | None) -> None:
    task = write_task([{"q": "?", "a": "1"}], **SETTINGS, extract=extract)
    assert Generation(task, task.rows()).extract(text) == answer


@pytest.mark.parametrize(
    ("text", "gold", "ignore_case", "right"),
    [
        (" Paris. ", "paris", True, 1),
        ("Paris", "paris", False, 0),
        ("ｐａｒｉｓ", "paris", True, 1),
        ("in  Paris", "in Paris", False, 1),
        ("Rome", ["Paris", "Rome"], True, 1),
        ("Rom", "Rome", True, 0),
        ("7", 7, True, 1),
    ],
)
def test_spelling_counts_and_spacing_does_not(
    write_task: WriteTask, text: str, gold: object, ignore_case: bool, right: int
) -> None:
    task = write_task([{"q": "?", "a": gold}], **SETTINGS, ignore_case=ignore_case)
    [row] = task.rows()
    assert Generation(task, [row])._judge(row, text, finished=True).values == {"exact_match": right, "unfinished": 0}


@pytest.mark.parametrize(
    ("row", "settings", "message"),
    [
        ({"q": "?", "a": ""}, {}, r"jsonl:1: its answer is empty"),
        ({"q": "?", "a": []}, {}, r"jsonl:1: its answer is empty"),
        ({"q": "?", "a": "1"}, {"extract": "("}, r"extract='\(' is not a regular expression"),
    ],
)
def test_a_task_that_cannot_be_used_is_refused(
    write_task: WriteTask, row: dict[str, object], settings: dict[str, object], message: str
) -> None:
    task = write_task([row], **SETTINGS | settings)
    with pytest.raises(UserError, match=message):
        Generation(task, task.rows())


def test_a_prompt_that_does_not_fit_is_named(write_task: WriteTask, model: EvaluatedModel) -> None:
    task = write_task([{"q": "quick " * 60, "a": "1"}], **SETTINGS)
    with pytest.raises(UserError, match=r"jsonl:1: .*256"):
        list(Generation(task, task.rows()).score(model, ()))
