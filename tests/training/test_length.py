"""A run that is limited by time: its length is planned again at each evaluation."""

import math
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft.training import account
from lmcraft.training.budget import Budget, Use
from lmcraft.training.config import ScheduleConfig, TrainConfig
from lmcraft.training.continuation import INTERVALS
from lmcraft.training.length import Length, Planner, plan_again, with_length
from lmcraft.training.loop import Trainer
from lmcraft.training.processes import Processes
from lmcraft.training.schedule import learning_rate_factor
from tests.training.test_autotune import data, open_run
from tests.training.test_loop import CountingDataset, build, rows_of, timed_account

__all__ = ["data"]  # a fixture
WSD = ScheduleConfig(name="wsd", warmup=0.02, decay=0.5)
WSD_SHORT = replace(WSD, warmup=0.05)


LINEAR = ScheduleConfig(name="linear", warmup=0.0)


@pytest.mark.parametrize(
    ("step", "steps_left", "schedule", "expected"),
    [
        (20, 80.0, WSD, (100, 0)),  # as planned
        (20, 86.0, WSD, (100, 0)),  # a little faster: not worth another plan
        (20, 200.0, WSD, (210, 0)),  # faster, with something in reserve
        (20, 8000.0, WSD, (1000, 0)),  # much faster: the warmup of the longer run must be over, too
        (50, 200.0, WSD, (240, 0)),
        (20, 40.0, WSD, (58, 0)),  # slower
        (60, 100.0, WSD, (159, 124)),  # the learning rate has begun to fall: it falls more slowly
        (60, 30.0, WSD, (89, 37)),
        (60, 40.0, WSD, (100, 0)),
        (50, 100.0, LINEAR, (149, 198)),
        (60, 200.0, ScheduleConfig(name="cosine"), (100, 0)),  # it must not rise
        (60, 20.0, ScheduleConfig(name="cosine"), (79, 0)),
        (90, 200.0, ScheduleConfig(name="constant", warmup=0.0), (280, 0)),
        (20, -5.0, WSD, (21, 0)),  # too late
        (100, -5.0, WSD, (100, 0)),
        (100, 50.0, WSD, (100, 0)),
        (100, 50.0, ScheduleConfig(name="constant", warmup=0.0), (147, 0)),
    ],
)
def test_the_plan_follows_the_speed(
    step: int, steps_left: float, schedule: ScheduleConfig, expected: tuple[int, int]
) -> None:
    config = TrainConfig(max_steps=100, schedule=schedule)
    steps, decay_steps = plan_again(config, step, steps_left)
    assert (steps, decay_steps) == expected
    if steps - step > 0 and schedule.name != "constant":
        changed = replace(schedule, decay_steps=decay_steps)
        rates = [learning_rate_factor(changed, later, steps) for later in range(step, steps)]
        assert rates == sorted(rates, reverse=True) and rates[-1] <= 0.05
        before = learning_rate_factor(schedule, step - 1, 100)
        assert rates[0] <= before and (not decay_steps or before - rates[0] < 0.06)


def test_a_run_that_should_not_be_longer_is_not() -> None:
    assert plan_again(TrainConfig(max_steps=100, schedule=WSD), 20, 500.0, most_steps=120).max_steps == 120


def build_timed(
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float = math.inf,
    *,
    joules: float = math.inf,
    steps: int = 10,
    power: Callable[[float], float] = float,
    **settings: Any,
) -> Trainer:
    """A run of some planned steps that take 1 s each, or as `power` has it, on a clock of its own, and a budget."""
    monkeypatch.setattr(account, "READ_SECONDS", 0.0)
    trainer = build(
        out, schedule=settings.pop("schedule", WSD_SHORT), max_steps=steps, eval_every=2, save_every=2, **settings
    )
    trainer.account = timed_account(lambda: power(trainer.progress.step), seconds, joules, watts=3.0)

    def change(config: TrainConfig, length: Length) -> TrainConfig:
        return with_length(config, length, {}, 8)

    trainer.planner = Planner(trainer.account.budget, trainer.processes, change)
    return trainer


@pytest.mark.parametrize("limit", [{"seconds": 24.0}, {"joules": 72.0}, {"seconds": 24.0, "joules": 900.0}], ids=str)
def test_a_budget_that_is_left_over_is_used(
    limit: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = build_timed(tmp_path, monkeypatch, **limit)
    progress = trainer.run()
    assert 22 < progress.step <= 24 and progress.measured_step == progress.step
    rates = list(rows_of(tmp_path, "learning_rate").values())
    assert rates[progress.step // 2 - 1] == max(rates) and rates[-1] < 0.1 * max(rates)
    assert rates == sorted(rates[:1]) + sorted(rates[1:], reverse=True)  # one warmup, one decay
    assert "the budget is enough for" in capsys.readouterr().err
    assert tomllib.loads(trainer.folder.config_toml.read_text())["max_steps"] == progress.step


def test_a_run_with_time_for_a_single_step_as_it_seemed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holdout = CountingDataset()
    progress = build_timed(tmp_path, monkeypatch, seconds=24.0, steps=1, holdout=holdout).run()
    assert 22 < progress.step <= 24 and list(rows_of(tmp_path, "holdout_loss")) == [progress.step]


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
    settings = tomllib.loads(checkpoints.settings(pause_at).read_text())
    schedule = ScheduleConfig(**settings["schedule"])
    resumed = build(paused, schedule=schedule, max_steps=settings["max_steps"], eval_every=2, save_every=2)
    resumed.model.load_state_dict(torch.load(checkpoints.path(pause_at) / "weights.pt"))
    resumed.restore(pause_at)
    assert resumed.run().step == last_step
    for quantity in ("loss", "learning_rate", "validation_loss"):
        assert rows_of(paused, quantity) == rows_of(whole, quantity)


def test_only_a_length_that_follows_from_the_time_is_planned_again(data: Path, tmp_path: Path) -> None:
    limits = {"batch_size": 4, "micro_batch_size": 4, "attention": "matmul"}
    assert open_run(data, tmp_path, time_budget="1m", max_steps=4, **limits).autotuned(str).planned is None
    assert open_run(data, tmp_path, max_steps=4, **limits).autotuned(str).build_trainer().planner.change is None
    run = open_run(data, tmp_path, time_budget="1m", sample_every=7, **limits).autotuned(str)
    trainer = run.build_trainer()
    assert trainer.planner.change is not None
    changed = trainer.planner.change(replace(run.config, pause_at=3), Length(400, 30))
    assert (changed.max_steps, changed.eval_every, changed.save_every, changed.sample_every) == (400, 20, 20, 7)
    assert changed.eval_tokens == run.config.eval_tokens and changed.pause_at == 3 and changed.schedule.decay_steps == 30


@pytest.mark.parametrize("power", [lambda s: s if s < 1000 else 3 * s - 2000, lambda s: s if s < 500 else s / 2 + 250])
@pytest.mark.parametrize("schedule", [WSD, LINEAR], ids=["wsd", "linear"])
def test_a_budget_is_used_within_3_percent_also_if_the_speed_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, power: Callable[[float], float], schedule: ScheduleConfig
) -> None:
    config = TrainConfig(max_steps=300, schedule=schedule, eval_every=15, sample_every=60, batch_size=4, save_every=15)
    step, budget = 0, Budget(Use(2000.0, math.inf), lambda: Use(power(step), 0.0))
    intervals = dict.fromkeys(INTERVALS, 0)
    planner = Planner(budget, Processes(), lambda config, length: with_length(config, length, intervals, 8))
    budget.begin(0, 0.0)
    rates = []
    while step < config.max_steps:
        rates.append(learning_rate_factor(config.schedule, step, config.max_steps))
        step += 1
        config, _ = planner.plan(config, step)
        if budget.is_used_up(step):
            break
    assert 0.97 * 2000 <= power(step) <= 2000
    assert rates[-1] < 0.05 and sorted(rates[len(rates) // 2 :], reverse=True) == rates[len(rates) // 2 :]
