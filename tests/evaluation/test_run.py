"""Results are saved as they come, and a run continues where the last one stopped."""

from pathlib import Path

import pytest

from lmcraft.errors import InterruptedRunError, UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.run import Evaluation
from lmcraft.evaluation.task import Task
from tests.evaluation.conftest import WriteTask

ROWS = [{"question": f"the quick {n}", "endings": ["brown fox", "lazy dogs"], "label": n % 2} for n in range(150)]


@pytest.fixture
def task(write_task: WriteTask) -> Task:
    return write_task(ROWS, kind="multiple_choice", prompt="{{ question }}", choices="endings", answer="label")


@pytest.fixture
def evaluation(model: EvaluatedModel, tmp_path: Path) -> Evaluation:
    return Evaluation(model, "hash", {"precision": "fp32"}, tmp_path / "results")


def test_a_second_run_scores_nothing(evaluation: Evaluation, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluation.run(task)
    monkeypatch.setattr(EvaluatedModel, "score", lambda *_: pytest.fail("scored again"))
    second = evaluation.run(task)
    assert (first.was_cached, second.was_cached) == (False, True)
    assert second.figures == first.figures
    assert first.chance == 0.5


@pytest.mark.parametrize("cut", [0, 1, 90, 4_000, -1])
def test_a_run_continues_after_a_kill(evaluation: Evaluation, task: Task, cut: int) -> None:
    file = evaluation.run(task).file
    whole = file.read_bytes()
    file.write_bytes(whole[:cut])
    result = evaluation.run(task)
    assert sorted(file.read_bytes().splitlines()) == sorted(whole.splitlines())
    assert [item.item for item in result.items] == list(range(150))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"garbage", "line 5 of .* is damaged"),
        (b"\0\0", "line 5 of .* is damaged"),
        (b'{"item": 3, "a": 1}', "is no result"),
    ],
)
def test_a_damaged_line_is_named_and_nothing_is_removed(
    evaluation: Evaluation, task: Task, line: bytes, message: str
) -> None:
    file = evaluation.run(task).file
    lines = file.read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:4], line + b"\n", *lines[5:]])
    file.write_bytes(damaged)
    with pytest.raises(UserError, match=message):
        evaluation.run(task)
    assert file.read_bytes() == damaged


def test_a_signal_stops_after_the_items_that_are_done(evaluation: Evaluation, task: Task) -> None:
    with pytest.raises(InterruptedRunError, match="after 64 of 150 items of 'toy', which are saved"):
        evaluation.run(task, stop_signal=lambda: 15)
    done: list[int] = []
    evaluation.run(task, report=lambda count, total: done.append(count))
    assert done == [64, 128, 150]


def test_a_limit_draws_the_same_items(evaluation: Evaluation, task: Task) -> None:
    few = {item.item for item in evaluation.run(task, limit=10).items}
    more = {item.item for item in evaluation.run(task, limit=20).items}
    assert len(few) == 10
    assert few < more


def test_other_settings_data_and_models_have_their_own_results(
    evaluation: Evaluation, task: Task, write_task: WriteTask, model: EvaluatedModel
) -> None:
    settings = {"kind": "multiple_choice", "prompt": "{{ question }}", "choices": "endings", "answer": "label"}
    files = {evaluation.run(task).file}
    files.add(Evaluation(model, "other", evaluation.settings, evaluation.folder).run(task).file)
    files.add(evaluation.run(write_task(ROWS, **settings | {"delimiter": ": "})).file)
    files.add(evaluation.run(write_task(ROWS[:-1], **settings)).file)
    described = write_task(ROWS, **settings, description="another sentence")
    assert len(files) == 4
    assert evaluation.run(described).file in files


@pytest.mark.parametrize(("rows", "message"), [([], "is empty|has no rows"), (["text"], "must be an object")])
def test_data_without_rows_are_refused(
    evaluation: Evaluation, write_task: WriteTask, rows: list[object], message: str
) -> None:
    task = write_task(rows, kind="multiple_choice", choices="endings", answer="label")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=message):
        evaluation.run(task)
