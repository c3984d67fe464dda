import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

import lmcraft
from lmcraft.commands.runs import RunsConfig, runs_in, runs_table
from lmcraft.errors import UserError
from tests.runs.written_run import WrittenRun


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    finished = WrittenRun(tmp_path / "runs" / "finished", max_steps=20, settings='[optimizer]\nname = "muon"\n')
    finished.log_steps(1, 20, eval_every=10)
    finished.status("finished", step=20)
    stopped = WrittenRun(tmp_path / "runs" / "odd\x1b[31m\u202ename\n")
    stopped.log_steps(1, 7)
    return tmp_path / "runs"


def test_the_table_has_a_row_for_each_run_without_control_characters(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    described = runs_in(RunsConfig(folder))
    assert [(run["state"], run["step"]) for run in described] == [("stopped", 7), ("finished", 20)]
    shown = capsys.readouterr().out
    assert "20/20" in shown and "4.0500" in shown and "\x1b" not in shown and "\u202e" not in shown
    assert len(runs_table(described, 80).columns) < len(runs_table(described, 200).columns)


@pytest.mark.parametrize("width", [60, 70, 80, 100, 110, 130, 150])
def test_the_table_cuts_nothing(tmp_path: Path, width: int) -> None:
    name = "sweep-with-a-long-name/trials/0017/model"
    run = WrittenRun(tmp_path / "runs" / name, max_steps=100_000)
    row = {"loss": 3.1234, "tokens_per_second": 123_456.0, "seconds": 3000.0, "joules": 98_765.0, "peak_memory": 2**36}
    run.log({"step": 12_345, **row}, {"step": 12_000, "validation_loss": 3.4321})
    run.status("finished")
    lines = shown_lines(runs_table(runs_in(RunsConfig(tmp_path / "runs", json=True)), width), width)
    assert max(map(len, lines)) <= width and "…" not in "".join(lines)
    assert "12,345/100k" in lines[3] and "3.1234" in lines[3] and lines[1][2:5] == "run"
    cells = [line[1:-1].split("│")[0] for line in lines[3:-1]]
    assert "".join(cells).replace(" ", "") == name and all(cell.startswith(" " + cell.strip()) for cell in cells)


def shown_lines(table: Table, width: int) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table)
    return capture.get().splitlines()


def test_the_list_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    described = lmcraft.runs_in(RunsConfig(folder, json=True))
    assert json.loads(capsys.readouterr().out) == described


def test_an_empty_folder_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs_in(RunsConfig(tmp_path)) == [] and "there are no runs" in capsys.readouterr().out


def test_the_table_goes_on_until_ctrl_c(folder: Path) -> None:
    command = [sys.executable, "-m", "lmcraft", "runs", str(folder), "--watch"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0 and err == ""


def test_tensorboard_reads_the_export(folder: Path, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    out = tmp_path / "events"
    runs_in(RunsConfig(folder, export="tensorboard", out=out))
    events = accumulator.EventAccumulator(str(out / "finished"), size_guidance={"scalars": 0})
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("validation_loss")] == [
        (10, pytest.approx(4.1)),
        (20, pytest.approx(4.05)),
    ]
    assert len(events.Scalars("loss")) == 20
    with pytest.raises(UserError, match="is not empty"):
        runs_in(RunsConfig(folder, export="tensorboard", out=out))


def test_trackio_reads_the_export_and_another_one_adds_nothing(folder: Path, tmp_path: Path) -> None:
    storage = pytest.importorskip("trackio.sqlite_storage")
    for _ in range(2):
        runs_in(RunsConfig(folder, export="trackio", out=tmp_path / "store", project="mine"))
    storage.TRACKIO_DIR = tmp_path / "store"
    logs = storage.SQLiteStorage.get_logs("mine", "finished")
    assert len(logs) == 22 and logs[-1]["step"] == 20
    assert storage.SQLiteStorage.get_run_config("mine", "finished")["optimizer.name"] == "muon"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"export": "tensorboard"}, "set --out"),
        ({"out": Path("x")}, "is for exports"),
        ({"project": "x"}, "add --export trackio"),
        ({"watch": True, "json": True}, "leave out --json"),
        ({"folder": Path("nothing")}, "is not a folder"),
    ],
    ids=range(5),
)
def test_contradictory_settings_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        runs_in(RunsConfig(**settings))  # type: ignore[arg-type]
