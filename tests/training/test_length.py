"""A run that is limited by time: its length is planned again at each evaluation."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lmcraft.training.time_limit import END_SECONDS, plan_again

from lmcraft.training import loop
from lmcraft.training.config import ScheduleConfig, TrainConfig
from lmcraft.training.loop import Trainer
from tests.clock import set_clock
from tests.training.test_autotune import data, open_run
from tests.training.test_loop import CountingDataset, build, rows_of

__all__ = ["data"]  # a fixture
WSD = ScheduleConfig(name="wsd", warmup=0.02, decay=0.5)
WSD_SHORT = replace(WSD, warmup=0.05)


@pytest.mark.parametrize(
    ("step", "seconds_per_step", "seconds_left", "schedule", "expected"),
    [
        (20, 1.0, 80.0, WSD, 100),  # as planned
        (20, 1.0, 95.0, WSD, 105 - 5),  # a little faster: not worth another plan
        (20, 1.0, 200.0, WSD, 200),  # faster, with a tenth of the time in reserve
        (20, 0.01, 80.0, WSD, 1000),  # much faster: the warmup of the longer run must be over, too
        (49, 1.0, 200.0, WSD, 229),
        (50, 1.0, 200.0, WSD, 230),
        (51, 1.0, 200.0, WSD, 100),
        (100, 1.0, 200.0, WSD, 100),
        (60, 1.0, 200.0, WSD, 100),  # the learning rate has begun to fall, and must not rise
        (20, 1.0, 200.0, ScheduleConfig(name="cosine"), 100),
        (90, 1.0, 200.0, ScheduleConfig(name="constant", warmup=0.0), 270),
        (20, 2.0, 80.0, WSD, 56),  # slower
        (80, 2.0, 20.0, WSD, 89),
        (20, 1.0, -5.0, WSD, 21),  # too late
        (100, 1.0, -5.0, ScheduleConfig(name="constant"), 100),
    ],
)
def test_the_plan_follows_the_speed(
    step: int, seconds_per_step: float, seconds_left: float, schedule: ScheduleConfig, expected: int
) -> None:
    config = TrainConfig(max_steps=100, schedule=schedule)
    assert plan_again(config, step, seconds_per_step, seconds_left) == expected


def build_timed(out: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, steps: int = 10, **settings: Any) -> Trainer:
    """A run of some planned steps whose steps take 1 s each, on a clock of its own, and that has `seconds`."""
    trainer = build(out, schedule=WSD_SHORT, max_steps=steps, eval_every=2, save_every=2, **settings)
    trainer.deadline = seconds + END_SECONDS
    trainer.change_length = lambda config, steps: replace(config, max_steps=steps)
    set_clock(monkeypatch, loop, monotonic=lambda: float(trainer.progress.step))
    return trainer


def test_time_that_is_left_over_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = build_timed(tmp_path, monkeypatch, seconds=24.0)
    progress = trainer.run()
    assert 19 < progress.step <= 24 and progress.measured_step == progress.step
    rates = list(rows_of(tmp_path, "learning_rate").values())
    assert rates[progress.step // 2 - 1] == max(rates) and rates[-1] < 0.1 * max(rates)
    assert rates == sorted(rates[:1]) + sorted(rates[1:], reverse=True)  # one warmup, one decay
    assert f"time for {progress.step} steps, not" in capsys.readouterr().err
    assert tomllib.loads(trainer.folder.config_toml.read_text())["max_steps"] == progress.step


def test_a_run_with_time_for_a_single_step_as_it_seemed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holdout = CountingDataset()
    progress = build_timed(tmp_path, monkeypatch, seconds=24.0, steps=1, holdout=holdout).run()
    assert 19 < progress.step <= 24 and list(rows_of(tmp_path, "holdout_loss")) == [progress.step]


def test_a_run_that_turns_out_slower_still_decays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = build_timed(tmp_path, monkeypatch, seconds=6.0).run()
    rates = list(rows_of(tmp_path, "learning_rate").values())
    assert 4 < progress.step <= 6 and rates[-1] < 0.3 * max(rates)


@pytest.mark.parametrize("pause_at", [16, 20])  # after the last change of the plan
def test_a_resumed_run_keeps_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause_at: int) -> None:
    whole, paused = tmp_path / "whole", tmp_path / "paused"
    last_step = build_timed(whole, monkeypatch, seconds=24.0).run().step
    assert build_timed(paused, monkeypatch, seconds=24.0, pause_at=pause_at).run().step == pause_at
    checkpoints = build(paused).checkpoints
    steps = tomllib.loads(checkpoints.settings(pause_at).read_text())["max_steps"]
    resumed = build(paused, schedule=WSD_SHORT, max_steps=steps, eval_every=2, save_every=2)
    resumed.model.load_state_dict(torch.load(checkpoints.path(pause_at) / "weights.pt"))
    resumed.restore(pause_at)
    assert resumed.run().step == last_step
    for quantity in ("loss", "learning_rate", "validation_loss"):
        assert rows_of(paused, quantity) == rows_of(whole, quantity)


def test_only_a_length_that_follows_from_the_time_is_planned_again(data: Path, tmp_path: Path) -> None:
    limits = {"batch_size": 4, "micro_batch_size": 4, "attention": "matmul"}
    assert open_run(data, tmp_path, time_budget="1m", max_steps=4, **limits).autotuned(str).planned is None
    assert open_run(data, tmp_path, max_steps=4, **limits).autotuned(str).build_trainer().change_length is None
    run = open_run(data, tmp_path, time_budget="1m", sample_every=7, **limits).autotuned(str)
    trainer = run.build_trainer()
    assert trainer.change_length is not None
    changed = trainer.change_length(replace(run.config, pause_at=3), 400)
    assert (changed.max_steps, changed.eval_every, changed.save_every, changed.sample_every) == (400, 20, 20, 7)
    assert changed.eval_tokens == run.config.eval_tokens and changed.pause_at == 3
