"""What a run draws over its starts, what of it was wasted, and what its files say."""

import json
import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft.energy.record import REPEATED, EnergyRecord
from lmcraft.errors import InterruptedRunError, RunError, UserError
from lmcraft.folder import ModelFolder, write_json_lines
from lmcraft.quantities import Duration, EnergyAmount
from lmcraft.training import account
from lmcraft.training.account import AFTER_BEST, RunAccount
from lmcraft.training.history import start_ids
from lmcraft.training.loop import Trainer
from lmcraft.training.processes import Processes
from tests.meter import FakeMeter
from tests.training.test_loop import build, rows_of

WATTS = 2.0


class Clock:
    """Seconds that a test lets pass: 10 at the start of a command, then 1 for each step."""

    def __init__(self) -> None:
        self.trainer: Trainer | None = None

    def __call__(self) -> float:
        return 0.0 if self.trainer is None else 10.0 + self.trainer.progress.step - self.first_step

    def begin(self, trainer: Trainer) -> None:
        self.trainer, self.first_step = trainer, trainer.progress.step


@pytest.fixture(autouse=True)
def exact_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "READ_SECONDS", 0.0)


def start(out: Path, step: int | None = None, **settings: Any) -> Trainer:
    """A run, at the start or at a checkpoint, whose account is open."""
    clock = Clock()
    trainer = build(out, **({"eval_every": 3, "sample_every": 100} | settings))
    if step is not None:
        trainer.model.load_state_dict(torch.load(trainer.checkpoints.path(step) / "weights.pt"))
        trainer.restore(step)
    trainer.account = RunAccount("pretrain", FakeMeter(clock, WATTS))
    clock.begin(trainer)
    trainer.account.open(trainer.folder, step, trainer.config, Processes())
    starts = start_ids(trainer.folder) if step is not None else []
    write_json_lines(trainer.folder.history, [{"id": name} for name in (*starts, f"start {len(starts)}")])
    trainer.account.start(trainer.progress, trainer.config.max_steps, machine="a machine")
    return trainer


def run(trainer: Trainer) -> None:
    with trainer.account.closing():
        trainer.run()


def stop_at(trainer: Trainer, step: int, stop: Callable[[], None]) -> None:
    gradients = trainer.gradients

    def stopping(number: int) -> Any:
        if number == step:
            stop()
        return gradients(number)

    trainer.gradients = stopping  # type: ignore[method-assign]


def rows(out: Path) -> Any:
    return EnergyRecord.read(ModelFolder(out).run / "energy.json").rows


def status(out: Path) -> dict[str, Any]:
    return dict(json.loads((ModelFolder(out).run / "status.json").read_text()))


class Killed(BaseException):
    pass


def kill() -> None:
    raise Killed


def test_each_step_says_what_the_run_has_drawn(tmp_path: Path) -> None:
    run(start(tmp_path))
    assert rows_of(tmp_path, "joules") == {step: WATTS * (10 + step) for step in range(1, 7)}
    (row,) = rows(tmp_path)
    assert (row.energy.joules, row.energy.seconds, row.steps, row.kind) == (WATTS * 16, 16, 6, "pretrain")
    assert row.tokens == 6 * 4 * 8 and not row.wasted
    expected = {"state": "finished", "step": 6, "max_steps": 6, "machine": "a machine", "budget": None, "message": ""}
    assert status(tmp_path).items() >= expected.items()


def test_steps_after_the_best_weights_are_wasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = start(tmp_path, max_steps=9)
    losses = iter((3.0, 1.0, 2.0))
    monkeypatch.setattr(trainer, "validate", lambda *_: next(losses))
    run(trainer)
    assert rows(tmp_path)[0].wasted == {AFTER_BEST: WATTS * 3}


@pytest.mark.parametrize("recorded", [True, False])
def test_steps_that_a_kill_had_repeated_are_wasted(tmp_path: Path, recorded: bool) -> None:
    killed = start(tmp_path, max_steps=9)
    stop_at(killed, 5, kill)
    if not recorded:  # a SIGKILL: the last write of energy.json was at the checkpoint
        killed.account._close = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(Killed):
        run(killed)
    killed.checkpoints.wait()
    assert status(tmp_path)["state"] == ("failed" if recorded else "running")
    resumed = start(tmp_path, 3, max_steps=9)
    run(resumed)
    first, second = rows(tmp_path)
    assert first.energy.joules == pytest.approx(WATTS * 15) and first.wasted == {REPEATED: WATTS * 2} and first.steps == 3
    assert second.energy.joules == WATTS * 16 and not second.wasted and second.steps == 6
    joules = list(rows_of(tmp_path, "joules").values())
    assert joules == sorted(joules) and joules[-1] == pytest.approx(WATTS * 31)
    again = start(tmp_path, 9, max_steps=9)
    run(again)
    assert [row.wasted for row in rows(tmp_path)] == [{REPEATED: WATTS * 2}, {}, {}]


def test_a_stopped_run_wastes_nothing(tmp_path: Path) -> None:
    stopped = start(tmp_path)
    stop_at(stopped, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Exception, match="stopped by a signal"):
        run(stopped)
    assert status(tmp_path)["state"] == "stopped" and "continue with" in status(tmp_path)["message"]
    run(start(tmp_path, 4))
    assert [row.wasted for row in rows(tmp_path)] == [{}, {}] and status(tmp_path)["state"] == "finished"


@pytest.mark.parametrize("is_open", [False, True])
def test_a_resumed_run_that_is_stopped_before_its_first_step_says_so(tmp_path: Path, *, is_open: bool) -> None:
    killed = start(tmp_path)
    stop_at(killed, 4, kill)
    with pytest.raises(Killed):
        killed.run()
    killed.checkpoints.wait()
    assert status(tmp_path)["state"] == "running" and status(tmp_path)["started"]
    (earlier,), folder = rows(tmp_path), ModelFolder(tmp_path)
    resumed = RunAccount("pretrain", FakeMeter(Clock(), WATTS))
    with pytest.raises(InterruptedRunError), resumed.closing(folder):
        if is_open:
            resumed.open(folder, 3, build(tmp_path).config, Processes())
            assert not status(tmp_path)["started"]
        os.kill(os.getpid(), signal.SIGTERM)
    assert (status(tmp_path)["state"], status(tmp_path)["message"]) == ("stopped", "")
    assert rows(tmp_path)[0].id == earlier.id and len(rows(tmp_path)) == 1 + is_open
    drawn = sum(row.energy.joules for row in rows(tmp_path))
    run(start(tmp_path, 3))
    assert status(tmp_path)["state"] == "finished" and sum(row.energy.joules for row in rows(tmp_path)) > drawn


def test_a_paused_run_says_so(tmp_path: Path) -> None:
    run(start(tmp_path, pause_at=3))
    assert status(tmp_path)["state"] == "paused" and "paused after step 3 of 6" in status(tmp_path)["message"]


def test_a_refused_command_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    def refuse(step: int | None) -> None:
        refused = RunAccount("pretrain", FakeMeter(lambda: 0.0))
        with pytest.raises(UserError), refused.closing():
            refused.open(ModelFolder(tmp_path), step, build(tmp_path).config, Processes())
            raise UserError("refused")

    refuse(None)
    assert not list(tmp_path.iterdir())
    run(start(tmp_path))
    before = {file: file.read_bytes() for file in ModelFolder(tmp_path).run.iterdir() if file.is_file()}
    refuse(6)
    assert before == {file: file.read_bytes() for file in ModelFolder(tmp_path).run.iterdir() if file.is_file()}


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (
            {"time_budget": Duration(15)},
            "time_budget=15s is used up: the run so far took 16.0 s; give a larger --time-budget",
        ),
        ({"time_budget": Duration(17)}, "time_budget=17s is too small: .* takes about 20.0 s; give a larger --time-budget"),
        ({"energy_budget": EnergyAmount(32)}, r"energy_budget=32J is used up: the run so far took 8\.89 mWh"),
        ({"energy_budget": EnergyAmount(36)}, "energy_budget=36J is too small: .* takes about 38J"),
    ],
)
def test_a_budget_without_room_is_refused(tmp_path: Path, budget: dict[str, Any], message: str) -> None:
    run(start(tmp_path))
    config = replace(build(tmp_path).config, **budget)
    resumed = RunAccount("pretrain", FakeMeter(lambda: 0.0))
    resumed.open(ModelFolder(tmp_path), 6, config, Processes())
    left = resumed.budget.left()
    with pytest.raises(UserError, match=message):
        resumed.check_left(config, left._replace(seconds=left.seconds - 4, joules=left.joules - 6))


def test_without_a_meter_there_is_no_budget_of_energy(tmp_path: Path) -> None:
    meter = FakeMeter(lambda: 0.0)
    meter.method = "none"
    with pytest.raises(UserError, match="energy_budget=1Wh needs a meter"):
        RunAccount("pretrain", meter).set_limit(replace(build(tmp_path).config, energy_budget=EnergyAmount(3600)))


def test_a_run_that_diverges_has_failed(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        run(start(tmp_path, rate=1e30))
    assert status(tmp_path)["state"] == "failed" and "is not a number" in status(tmp_path)["message"]


@pytest.mark.parametrize("joules", ["many", True, None, math.inf, [1]])
def test_a_log_with_other_values_is_read(tmp_path: Path, joules: Any) -> None:
    run(start(tmp_path))
    with ModelFolder(tmp_path).metrics.open("a") as file:
        file.write(json.dumps({"step": 7, "loss": 1.0, "joules": joules}) + "\n")
    run(start(tmp_path, 6, max_steps=8))
    assert sum(row.energy.joules for row in rows(tmp_path)) == WATTS * (16 + 12)
