"""Wrong answers drawn from other rows."""

import pytest

from lmcraft.errors import UserError
from tests.evaluation.conftest import WriteTask

ROWS = [{"first": f"saying {n}", "second": f"end {n % 10}", "rank": n} for n in range(40)]
SETTINGS = {"kind": "multiple_choice", "prompt": "{{ first }}", "choices": "draw_choices('second', 4)", "answer": "second"}


def test_choices_are_different_and_hold_the_right_one(write_task: WriteTask) -> None:
    task = write_task(ROWS, **SETTINGS)
    drawn = [row.value("draw_choices('second', 4)", "choices") for row in task.rows()]
    for row, choices in zip(task.rows(), drawn, strict=True):
        assert len(set(choices)) == 4 and row.values["second"] in choices
    positions = {choices.index(row.values["second"]) for row, choices in zip(task.rows(), drawn, strict=True)}
    assert positions == {0, 1, 2, 3}
    assert len({tuple(sorted(choices)) for choices in drawn}) > 20


def test_choices_depend_on_the_rows_only(write_task: WriteTask) -> None:
    first = [row.value("draw_choices('second')", "choices") for row in write_task(ROWS, **SETTINGS).rows()]
    task = write_task(ROWS, name="other", **SETTINGS)
    rows = task.rows()[:7]
    again = {row.values["rank"]: row.value("draw_choices('second')", "choices") for row in rows}
    assert len(again) == 7 and all(first[n] == choices for n, choices in again.items())
    assert [row.text("{{ draw_choices('second') | first }}", "prompt") for row in rows] == [
        choices[0] for choices in again.values()
    ]


def test_choices_come_from_the_rows_that_are_asked(write_task: WriteTask) -> None:
    task = write_task(ROWS, **SETTINGS, where="rank < 5")
    for row in task.rows():
        assert set(row.value("draw_choices('second', 5)", "choices")) == {f"end {n}" for n in range(5)}


def test_numbers_and_texts_are_both_drawn(write_task: WriteTask) -> None:
    [row, *_] = write_task(ROWS, **SETTINGS).rows()
    assert all(isinstance(rank, int) for rank in row.value("draw_choices('rank', 3)", "choices"))


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("draw_choices('third')", r"toy.jsonl:1: .*'third'\) names no column: choose from first, second, rank"),
        ("draw_choices('second', 11)", r"toy.jsonl:1: .* needs 11 different values, but there are 10: lower it"),
        ("draw_choices('second', 0)", "toy.jsonl:1: .*count=0 must be at least 1"),
        ("draw_choices('second', -2)", "count=-2 must be at least 1"),
        ("draw_choices('second', 'x')", "toy.jsonl:1: its choices cannot be rendered"),
        ("draw_choices()", "toy.jsonl:1: its choices cannot be rendered"),
        ("draw_choices(second)", "names no column"),
        ("draw_choices(['second'])", "toy.jsonl:1: "),
    ],
)
def test_what_cannot_be_drawn(write_task: WriteTask, expression: str, message: str) -> None:
    [row, *_] = write_task(ROWS, **SETTINGS).rows()
    with pytest.raises(UserError, match=message):
        row.value(expression, "choices")
