import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from lmcraft.hyperparameters.config import SearchConfig
from lmcraft.hyperparameters.promotion import Promoter, create_promoter
from lmcraft.hyperparameters.samplers import create_sampler
from lmcraft.hyperparameters.scheduling import Done, NewTrial, Promote, Rerun, Scheduler, Wait
from lmcraft.hyperparameters.trial import Kind, Point, State, Totals, Trial
from lmcraft.quantities import Duration, EnergyAmount
from tests.hyperparameters.spaces import RATE, SIGNS, Simulation, complete, paused, space_of

NEW = NewTrial(point={"x": 9}, kind=Kind.CONFIRMATION, source=0, seed=2)


def scheduler(
    trials: int = 4, promoter: Promoter | None = None, confirmations: Sequence[NewTrial] = (), **settings: object
) -> Scheduler:
    """One whose points are the numbers of the trials."""

    def confirm(table: Sequence[Trial]) -> NewTrial | None:
        count = sum(trial.kind is Kind.CONFIRMATION for trial in table)
        return confirmations[count] if count < len(confirmations) else None

    return Scheduler(
        settings=SearchConfig(trials=trials, **settings),  # type: ignore[arg-type]
        suggest=lambda table, number: {"x": number} if number < 50 else None,
        promoter=promoter or create_promoter("none", SIGNS, 90),
        confirm=confirm,
    )


def test_what_waits_comes_first_then_promotions_then_new_trials() -> None:
    decide = scheduler(promoter=Promoter(SIGNS, (10, 30, 90))).decide
    trials = [paused(0, 10, 3.0), paused(1, 10, 2.0), paused(2, 10, 4.0)]
    waiting = replace(trials[0], state=State.WAITING)
    assert decide([waiting, *trials[1:]], Totals()) == Rerun(0)
    assert decide(trials, Totals()) == Promote(1, 30)
    assert decide(trials[:2], Totals()) == NewTrial(point={"x": 2}, target_step=10)


def test_the_number_of_trials_is_a_total() -> None:
    decide = scheduler(trials=2, confirmations=[NEW]).decide
    running = Trial(number=1, point={"x": 1}, state=State.RUNNING)
    assert decide([complete(0, {"x": 0}, 1.0)], Totals()) == NewTrial(point={"x": 1})
    assert decide([complete(0, {"x": 0}, 1.0), running], Totals()) == Wait()
    done = [complete(0, {"x": 0}, 1.0), complete(1, {"x": 1}, 2.0)]
    assert decide(done, Totals()) == NEW
    confirmation = Trial(number=2, point={"x": 0}, kind=Kind.CONFIRMATION, state=State.RUNNING)
    assert decide([*done, confirmation], Totals()) == Wait()
    assert decide([*done, replace(confirmation, state=State.COMPLETE)], Totals()) == Done()


def test_the_first_trial_is_the_default() -> None:
    default: Point = {"x": -1}
    assert replace(scheduler(), default=default).decide([], Totals()) == NewTrial(point=default)
    assert replace(scheduler(default_first=False), default=default).decide([], Totals()) == NewTrial(point={"x": 0})


def test_limits_of_the_whole_search() -> None:
    decide = scheduler(time_budget=Duration(120), energy_budget=EnergyAmount(1.8e6)).decide
    assert isinstance(decide([], Totals(seconds=119, energy_kwh=0.4)), NewTrial)
    assert decide([], Totals(seconds=120)) == Done("time_budget=2m is used up")
    assert decide([], Totals(energy_kwh=0.5)) == Done("energy_budget=500Wh is used up")


def test_a_space_that_runs_out_ends_the_search() -> None:
    full = [complete(number, {"x": number}, 1.0) for number in range(50)]
    assert scheduler(trials=100).decide(full, Totals()) == Done("all 50 points of the space are tried")


def test_three_failures_and_no_success_end_the_search() -> None:
    failed = [Trial(number=n, point={"x": n}, state=State.INFEASIBLE, error="depth=0 must be at least 1") for n in range(3)]
    decide = scheduler(trials=100).decide
    assert decide(failed, Totals()) == Done("the first 3 trials failed: depth=0 must be at least 1")
    assert isinstance(decide(failed[:2], Totals()), NewTrial)
    assert isinstance(decide([complete(0, {"x": 0}, 1.0), *failed], Totals()), NewTrial)


@pytest.mark.parametrize("name", ["none", "asha", "hyperband", "power-law"])
def test_a_simulated_search_of_200_trials(name: str) -> None:
    """Halving reaches a loss close to the best with far fewer steps, and trains nothing twice."""
    space = space_of(RATE)
    rate = "pretrain.optimizer.learning_rate"

    def loss(point: Point, step: int) -> float:
        return 2 + math.log(float(point[rate]) / 0.03) ** 2 + 3 * step**-0.5

    simulation = Simulation(
        Scheduler(
            settings=SearchConfig(trials=200),
            suggest=create_sampler("qmc", space, SIGNS, 1).suggest,
            promoter=create_promoter(name, SIGNS, 90, 10),
            confirm=lambda trials: None,
        ),
        loss,
        max_steps=90,
    ).run()
    assert len(simulation.trials) == 200
    assert sum(simulation.trained) == sum(trial.step for trial in simulation.trials), "no step is trained twice"
    share = {"none": 1.0, "asha": 0.30, "hyperband": 0.55, "power-law": 0.30}[name]
    assert sum(simulation.trained) <= share * 200 * 90
    best = min(trial.values["loss"] for trial in simulation.trials if trial.state is State.COMPLETE)
    assert best < 2 + 3 * 90**-0.5 + 0.01
