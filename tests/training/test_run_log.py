"""metrics.jsonl and samples.jsonl."""

import json
import sys
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.json_lines import read_json_lines
from lmcraft.statistics.intervals import Metric
from lmcraft.training.checkpoint import Progress
from lmcraft.training.run_log import NullRunLog, RunLog
from lmcraft.training.task_scores import TaskScore


def open_metrics(folder: Path, step: int = 0, **progress: int) -> RunLog:
    done = Progress(step, **({"measured_step": step, "sampled_step": step, "evaluated_step": step} | progress))
    return RunLog(folder / "metrics.jsonl", folder / "samples.jsonl", done, tensorboard=None)


def test_rows_are_written_immediately(tmp_path: Path) -> None:
    metrics = open_metrics(tmp_path)
    metrics.log(1, loss=2.5, learning_rate=0.1)
    metrics.sample(1, "天地")
    assert list(read_json_lines(tmp_path / "metrics.jsonl")) == [{"step": 1, "loss": 2.5, "learning_rate": 0.1}]
    assert "天地" in (tmp_path / "samples.jsonl").read_text(encoding="utf-8")
    metrics.close()


def test_text_with_line_separators_and_lone_surrogates_survives_a_resume(tmp_path: Path) -> None:
    text = "one\u2028two\x85three\ud800\r\n\x0cfour"
    metrics = open_metrics(tmp_path)
    metrics.sample(1, text)
    metrics.log(1, loss=1.0, norm=float("nan"))
    metrics.close()
    open_metrics(tmp_path, step=1).close()
    assert list(read_json_lines(tmp_path / "samples.jsonl")) == [{"step": 1, "text": text}]
    assert list(read_json_lines(tmp_path / "metrics.jsonl")) == [{"step": 1, "loss": 1.0}]


def test_a_resumed_run_drops_the_rows_that_it_writes_again(tmp_path: Path) -> None:
    metrics = open_metrics(tmp_path)
    for step in range(1, 6):
        metrics.log(step, loss=float(step))
        metrics.sample(step, str(step))
    metrics.close()
    metrics = open_metrics(tmp_path, step=3)
    metrics.log(4, loss=40.0)
    metrics.close()
    assert [row["loss"] for row in read_json_lines(tmp_path / "metrics.jsonl")] == [1.0, 2.0, 3.0, 40.0]
    assert [row["text"] for row in read_json_lines(tmp_path / "samples.jsonl")] == ["1", "2", "3"]


def test_scores_have_their_intervals(tmp_path: Path) -> None:
    figures = {"acc": Metric(0.5, 0.4, 0.6), "bits_per_byte": Metric(2.0)}
    metrics = open_metrics(tmp_path)
    metrics.log_tasks(0, {"toy": TaskScore(figures, 9, 0.25), "free": TaskScore({"f": Metric(1.0)}, 1, None)}, seconds=1.5)
    metrics.close()
    [row] = read_json_lines(tmp_path / "metrics.jsonl")
    assert row == {
        "step": 0,
        "tasks": {"toy": {"acc": [0.5, 0.4, 0.6], "bits_per_byte": [2.0, None, None]}, "free": {"f": [1.0, None, None]}},
        "items": {"toy": 9, "free": 1},
        "chance": {"toy": 0.25},
        "task_seconds": 1.5,
    }


def test_what_the_checkpoint_of_the_same_step_does_not_include_is_dropped(tmp_path: Path) -> None:
    metrics = open_metrics(tmp_path)
    metrics.log(3, loss=1.0)
    metrics.log(3, validation_loss=1.0)
    metrics.log_tasks(3, {"toy": TaskScore({"acc": Metric(1.0)}, 1, None)}, seconds=1.0)
    metrics.sample(3, "text")
    metrics.close()
    open_metrics(tmp_path, 3, evaluated_step=-1).close()
    assert [set(row) for row in read_json_lines(tmp_path / "metrics.jsonl")] == [
        {"step", "loss"},
        {"step", "validation_loss"},
    ]
    assert len(list(read_json_lines(tmp_path / "samples.jsonl"))) == 1
    open_metrics(tmp_path, 3, measured_step=2, sampled_step=2).close()
    assert [set(row) for row in read_json_lines(tmp_path / "metrics.jsonl")] == [{"step", "loss"}]
    assert list(read_json_lines(tmp_path / "samples.jsonl")) == []


def test_a_row_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"step": 1}) + '\n{"step": 2, "lo')
    assert list(read_json_lines(file)) == [{"step": 1}]
    assert list(read_json_lines(tmp_path / "missing.jsonl")) == []


def test_tensorboard_that_is_not_installed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install .*\[tensorboard\]'"):
        RunLog(tmp_path / "metrics.jsonl", tmp_path / "samples.jsonl", Progress(), tensorboard=tmp_path / "events")


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    metrics = NullRunLog()
    metrics.log(1, loss=1.0)
    metrics.sample(1, "text")
    metrics.close()
    assert not any(tmp_path.iterdir())
