from pathlib import Path

import pytest

from lmcraft.evaluation.results import Figure, ItemResult, Measure, TaskResult
from lmcraft.folder import ModelFolder, write_json_lines
from lmcraft.hyperparameters.records import RunRecord, score_tasks
from lmcraft.statistics.intervals import Metric


def result(items: int, *, clusters: int = 0) -> TaskResult:
    rows = [ItemResult(n, {"acc": float(n % 2)}, cluster=str(n % clusters) if clusters else "") for n in range(items)]
    return TaskResult("toy", [Figure(Measure("acc"), Metric(0.5), items)], None, rows, Path("toy.jsonl"), was_cached=False)


def test_a_share_of_the_items_is_held_out() -> None:
    values, holdout = score_tasks([result(100)], 0.5)
    assert values.keys() == holdout.keys() == {"toy/acc"}
    assert score_tasks([result(100)], 0.0) == ({"toy/acc": 0.5}, {})


@pytest.mark.parametrize(("items", "clusters"), [(1, 0), (8, 1)])
def test_a_task_that_cannot_be_divided_is_judged_by_all_items(items: int, clusters: int) -> None:
    values, holdout = score_tasks([result(items, clusters=clusters)], 0.5)
    assert values["toy/acc"] == pytest.approx(items // 2 / items) and not holdout


def test_the_losses_of_a_run(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    assert RunRecord.read(tmp_path).saved_step == 0 and not RunRecord.read(tmp_path).curve
    (folder.checkpoints / "step-000004").mkdir(parents=True)
    (folder.checkpoints / ".step-000006.partial").mkdir()
    rows = [
        {"step": 2, "loss": 3.0, "tokens": 20, "seconds": 1.0},
        {"step": 2, "validation_loss": 3.0, "seconds": 1.0},
        {"step": 4, "loss": 2.0, "tokens": 40, "seconds": 2.0},
        {"step": 4, "validation_loss": 2.0, "bits_per_byte": 1.0, "seconds": 2.0, "holdout_loss": 2.5},
        {"step": 5, "loss": 1.0, "tokens": 50, "seconds": 2.5},
    ]
    write_json_lines(folder.metrics, rows)
    record = RunRecord.read(tmp_path)
    assert [(point.step, dict(point.values)) for point in record.curve] == [
        (2, {"validation_loss": 3.0}),
        (4, {"validation_loss": 2.0, "bits_per_byte": 1.0}),
    ]
    assert (record.saved_step, record.tokens(4), record.tokens(), record.seconds) == (4, 40, 50, 2.5)
    assert record.holdout == {"validation_loss": 2.5} and not record.is_finished
