import json
import shutil
from calendar import timegm
from pathlib import Path
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.runs.index import RunIndex, UnknownRunError
from tests.runs.written_run import WrittenRun, holding_lock, step_row


def changes(index: RunIndex, after: str = "") -> dict[str, Any]:
    index.refresh()
    answer: dict[str, Any] = json.loads(index.changes(after))
    return answer


def only_run(index: RunIndex) -> dict[str, Any]:
    [run] = changes(index)["runs"]
    return dict(run)


def test_the_list_describes_each_run(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path / "a", max_steps=40)
    run.log_steps(1, 30, eval_every=10)
    run.status("stopped", step=30, max_steps=40, command="pretrain", message="stopped by a signal", parameters=7)
    (run.files / "history.jsonl").write_text('{"step": 0, "id": "x", "time": "2026-01-02T03:04:05Z"}\n')
    run.checkpoint(30, best_step=30, best_loss=4 + 1 / 30)
    described = only_run(RunIndex(tmp_path))
    expected = {
        "id": "a",
        "name": "a",
        "kind": "pretrain",
        "state": "stopped",
        "created": 1767323045.0,
        "step": 30,
        "max_steps": 40,
        "tokens": 1920,
        "loss": 5 + 1 / 30,
        "validation_loss": 4 + 1 / 30,
        "best": {"step": 30, "validation_loss": 4 + 1 / 30},
        "tokens_per_second": 640.0,
        "seconds": 3.0,
        "parameters": 7,
        "message": "",
        "can_stop": False,
        "can_resume": True,
    }
    assert {name: described[name] for name in expected} == expected


def test_only_what_has_changed_comes_after_a_cursor(tmp_path: Path) -> None:
    runs = [WrittenRun(tmp_path / name) for name in "abc"]
    index = RunIndex(tmp_path)
    cursor = changes(index)["cursor"]
    assert not index.has_changed(cursor)
    nothing = {"cursor": cursor, "complete": False, "folder": tmp_path.name, "removed": [], "truncated": False, "runs": []}
    assert changes(index, cursor) == nothing
    runs[1].log_steps(1, 2)
    shutil.rmtree(runs[2].path)
    WrittenRun(tmp_path / "d")
    answer = changes(index, cursor)
    assert [run["id"] for run in answer["runs"]] == ["b", "d"] and answer["removed"] == ["c"]
    assert changes(index, answer["cursor"])["runs"] == []


@pytest.mark.parametrize("cursor", ["", "other-1", "x", "-", "{}-99", "{}--1", "{}-1²", "{}-" + "9" * 60])
def test_a_cursor_of_another_index_gets_all_runs(tmp_path: Path, cursor: str) -> None:
    WrittenRun(tmp_path / "a")
    index = RunIndex(tmp_path)
    own = index.cursor.partition("-")[0]
    answer = changes(index, cursor.replace("{}", own))
    assert answer["complete"] and [run["id"] for run in answer["runs"]] == ["a"]


def test_curves_are_those_of_the_log_while_it_grows(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path / "a")
    index = RunIndex(tmp_path)
    index.refresh()
    steps: list[int] = []
    values: list[float] = []
    answer: dict[str, Any] = {"last_step": None, "revision": None}
    for end in (3, 4, 20):
        run.log_steps(len(steps) + 1, end)
        answer = index.series("a", ["loss"], after_step=answer["last_step"], revision=answer["revision"])
        steps += answer["series"]["loss"]["steps"]
        values += answer["series"]["loss"]["mean"]
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert (steps, values) == ([row["step"] for row in rows], [row["loss"] for row in rows])
    assert answer["names"] == ["loss", "tokens", "tokens_per_second", "seconds"] and answer["last_step"] == 20
    window = index.series("a", ["loss", "nothing"], first=5, last=9, points=3)["series"]
    assert window["loss"]["steps"] == [6, 8, 9] and window.keys() == {"loss"}


def test_kill_and_resume_are_one_curve(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path / "a")
    run.log_steps(1, 14)
    index = RunIndex(tmp_path)
    index.refresh()
    before = index.series("a", ["loss"])
    run.rewrite([step_row(step) for step in range(1, 11)])  # those of the checkpoint
    run.log_steps(11, 12)
    after = index.series("a", ["loss"], after_step=before["last_step"], revision=before["revision"])
    assert after["revision"] != before["revision"]
    assert after["series"]["loss"]["steps"] == [*range(1, 13)]
    index.refresh()
    assert index.series("a", ["loss"], after_step=12, revision=after["revision"])["series"]["loss"]["steps"] == []


def test_dropped_columns_are_read_again_with_the_same_revision_unless_the_log_was_replaced(tmp_path: Path) -> None:
    runs = [WrittenRun(tmp_path / name) for name in "ab"]
    for run in runs:
        run.log_steps(1, 50)
    index = RunIndex(tmp_path, max_column_bytes=100)
    index.refresh()
    first = index.series("a")
    index.series("b")
    assert index.get("a").metrics is None and index.get("b").metrics is not None
    assert index.series("a") == first
    index.series("b")
    runs[0].rewrite([step_row(1)])
    again = index.series("a")
    assert again["revision"] != first["revision"] and again["last_step"] == 1


def test_a_run_is_running_as_long_as_its_lock_is_held(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path / "a")
    index = RunIndex(tmp_path)
    with holding_lock(run.path) as process:
        run.status("running", step=3, seconds_left=60)
        described = only_run(index)
        assert (described["state"], described["can_stop"], described["seconds_left"]) == ("running", True, 60)
        process.kill()
        process.wait()
        described = only_run(index)
        assert (described["state"], described["can_stop"], described["seconds_left"]) == ("killed", False, None)


def test_a_resumed_run_is_starting_until_its_process_says_otherwise(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path / "a")
    run.log_steps(1, 3)
    run.status("failed", step=3, seconds_left=60, pid=1, message="the disk is full")
    index = RunIndex(tmp_path)
    with holding_lock(run.path) as process:
        described = only_run(index)
        figures = [described[name] for name in ("state", "seconds_left", "tokens_per_second", "message", "can_resume")]
        assert figures == ["starting", None, None, "", False]
        for started, state in ((False, "starting"), (True, "running")):
            run.status("running", step=3, pid=process.pid, started=started)
            assert only_run(index)["state"] == state


@pytest.mark.parametrize(("seconds", "message"), [(1, ""), (-1, "lmcraft pretrain: the data is gone")])
def test_a_resume_that_was_stopped_did_not_fail(tmp_path: Path, seconds: int, message: str) -> None:
    run = WrittenRun(tmp_path / "a")
    (run.files / "resume.log").write_text("[2030-01-01T00:00:00Z] resumed\nlmcraft pretrain: the data is gone\n")
    run.status("stopped", updated=timegm((2030, 1, 1, 0, 0, 0)) + seconds)
    described = only_run(RunIndex(tmp_path))
    assert (described["state"], described["message"]) == ("stopped", message)


def test_what_belongs_to_another_command_says_so(tmp_path: Path) -> None:
    member = WrittenRun(tmp_path / "family" / "runs" / "depth-2-20x")
    (tmp_path / "family" / "scaling.toml").write_text("")
    WrittenRun(tmp_path / "search" / "trials" / "0003" / "train")
    for run in (member,):
        run.checkpoint(0)
    kinds = {run["name"]: (run["kind"], run["parent"], run["can_resume"]) for run in changes(RunIndex(tmp_path))["runs"]}
    assert kinds == {
        "family/runs/depth-2-20x": ("scaling member", "family", False),
        "search/trials/0003/train": ("trial", "search", False),
    }


def test_energy_goes_on_with_the_log_between_two_writes_of_its_file(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path / "a")
    run.log({"step": 1, "loss": 1.0, "joules": 30.0})
    index = RunIndex(tmp_path)
    assert only_run(index)["energy"] == {"joules": 30.0, "low": None, "high": None, "method": ""}
    energy = {"joules": 20.0, "low": 10.0, "high": 40.0, "method": "cpu time"}
    total = {"energy": energy, "emissions": {"grams": 1.0, "region": "WORLD", "year": 2023, "odd": []}, "kwh": 1}
    (run.files / "energy.json").write_text(json.dumps({"runs": [], "total": total}))
    described = only_run(index)
    assert described["energy"] == {"joules": 30.0, "low": 15.0, "high": 60.0, "method": "cpu time"}
    assert described["emissions"] == {"grams": 1.0, "region": "WORLD", "year": 2023, "odd": None}
    assert '"year": 2023,' in index.changes()


def test_the_budget_of_a_run_is_in_its_description(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path / "a")
    run.status("stopped", budget={"time": {"seconds": 60.0, "used": 30.0}, "other": {"x": 1}, "energy": "x"})
    index = RunIndex(tmp_path)
    assert only_run(index)["budget"] == {"time": {"seconds": 60.0, "used": 30.0}}


@pytest.mark.parametrize(
    "contents", [b"", b"\0" * 100, b"[]", b"{", b"\xff", b'{"state": {}, "step": 1e400, "max_steps": "x"}']
)
def test_damaged_files_leave_a_run_in_the_list(tmp_path: Path, contents: bytes) -> None:
    run = WrittenRun(tmp_path / "a")
    run.log_steps(1, 3)
    for name in ("status.json", "energy.json", "history.jsonl", "run.toml", "resume.log", "samples.jsonl"):
        (run.files / name).write_bytes(contents)
    (run.files / "checkpoints").write_bytes(contents)
    (run.path / "model.safetensors").write_bytes(contents)
    described = only_run(RunIndex(tmp_path))
    assert described["step"] == 3 and described["state"] == "stopped"


def test_a_negative_number_of_steps_is_unknown(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path / "a", max_steps=0)
    run.status("stopped", step=800, max_steps=-5)
    assert only_run(RunIndex(tmp_path))["max_steps"] is None


@pytest.mark.parametrize(
    ("state", "is_shown"), [("stopped", False), ("paused", False), ("failed", True), ("finished", True)]
)
def test_a_run_has_a_message_where_its_state_does_not_say_all(tmp_path: Path, state: str, is_shown: bool) -> None:
    run = WrittenRun(tmp_path / "a")
    run.status(state, message="why")
    index = RunIndex(tmp_path)
    assert only_run(index)["message"] == ("why" if is_shown else "")
    with holding_lock(run.path):
        assert only_run(index)["message"] == ""  # of an earlier start


def test_a_folder_that_is_none_and_an_unknown_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        RunIndex(tmp_path / "nothing")
    with pytest.raises(UnknownRunError, match=r"there is no run '\.\./etc'"):
        RunIndex(tmp_path).series("../etc")


def test_the_best_loss_before_the_end_of_a_long_log_is_found_without_a_checkpoint(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path / "a", max_steps=1000)
    run.log({"step": 1, "validation_loss": 2.0})
    run.log_steps(2, 1000)
    index = RunIndex(tmp_path)
    described = only_run(index)
    assert described["best"] == {"step": 1, "validation_loss": 2.0} and described["step"] == 1000
