import math
from collections.abc import Callable

import numpy as np
import pytest

from lmcraft.errors import UserError
from lmcraft.hyperparameters.samplers import SAMPLERS, OptunaSampler, Sampler, create_sampler
from lmcraft.hyperparameters.space import Space
from lmcraft.hyperparameters.trial import Point, Signs, State, Trial
from tests.hyperparameters.spaces import CONDITIONAL, RATE, SIGNS, complete, space_of

FINITE = ("depth = { low = 1, high = 3 }", "optimizer.nesterov = { choices = [true, false] }")
TWO_RATES = (RATE, "optimizer.embedding_learning_rate = { low = 1e-3, high = 1e-1, log = true }")


def quadratic(point: Point) -> float:
    """The best is at learning rates of 0.03."""
    return sum(math.log(float(value) / 0.03) ** 2 for value in point.values())


def search(sampler: Sampler, trials: int, loss: Callable[[Point], float] = quadratic) -> list[Trial]:
    done: list[Trial] = []
    while len(done) < trials and (point := sampler.suggest(done, len(done))) is not None:
        done.append(complete(len(done), point, loss(point)))
    return done


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_small_space_is_searched_without_repeats_and_then_ends(name: str) -> None:
    sampler = create_sampler(name, space_of(*FINITE, constraints=["depth != 2"]), SIGNS, seed=1)
    trials = search(sampler, 100, lambda point: float(point["pretrain.depth"]))
    assert len(trials) == 4 == len({frozenset(trial.point.items()) for trial in trials})


@pytest.mark.parametrize("name", sorted(SAMPLERS.keys() - {"grid"}))
def test_suggestions_depend_on_the_trials_and_the_seed_alone(name: str) -> None:
    space = space_of(RATE, *CONDITIONAL, constraints=["optimizer.learning_rate * depth < 0.2"])
    trials = search(create_sampler(name, space, SIGNS, 1), 11, lambda p: float(p["pretrain.optimizer.learning_rate"]))
    assert all(space.allows(trial.point) for trial in trials)
    again, other = (create_sampler(name, space, SIGNS, seed).suggest(trials, 11) for seed in (1, 2))
    assert create_sampler(name, space, SIGNS, 1).suggest(trials, 11) == again != other


@pytest.mark.parametrize("name", sorted(SAMPLERS.keys() - {"grid"}))
def test_fixed_values_are_kept(name: str) -> None:
    space = space_of(RATE, *CONDITIONAL)
    fixed = space.point_from({"depth": 2, "optimizer.name": "normuon"})
    trials = search(create_sampler(name, space, SIGNS, 1), 9, lambda p: float(p["pretrain.optimizer.learning_rate"]))
    point = create_sampler(name, space, SIGNS, 1).suggest(trials, 9, fixed)
    assert point is not None
    assert point.keys() == {*fixed, "pretrain.optimizer.learning_rate"} and point.items() >= fixed.items()


def test_a_grid_keeps_fixed_values() -> None:
    point = create_sampler("grid", space_of(*FINITE), SIGNS, 1).suggest([], 0, {"pretrain.depth": 3})
    assert point is not None and point["pretrain.depth"] == 3


def test_quasi_random_points_cover_the_space_evenly() -> None:
    trials = search(create_sampler("qmc", space_of(*TWO_RATES), SIGNS, 1), 64)
    space = space_of(*TWO_RATES)
    cells = {tuple((space.to_unit(trial.point) * 8).astype(int)) for trial in trials}
    assert len(cells) == 64


@pytest.mark.parametrize(("name", "trials"), [("tpe", 25), ("cmaes", 60)])
def test_a_model_of_the_trials_beats_random(name: str, trials: int) -> None:
    space = space_of(*TWO_RATES)
    best = {
        method: np.array([min(map(quadratic, points(space, method, seed, trials))) for seed in range(10)])
        for method in (name, "random")
    }
    assert (best[name] < best["random"]).mean() > 0.5
    assert np.median(best[name]) < np.median(best["random"]) / 2


def points(space: Space, method: str, seed: int, trials: int) -> list[Point]:
    return [trial.point for trial in search(create_sampler(method, space, SIGNS, seed), trials)]


def test_a_gaussian_process_needs_few_trials() -> None:
    assert min(map(quadratic, points(space_of(*TWO_RATES), "gp", 1, 16))) < 0.05


def test_regions_that_fail_are_left() -> None:
    """The best region fails. Of the last 20 points of a search in which it does not, 13 to 18 are there."""
    space = space_of(*TWO_RATES)
    sampler = create_sampler("tpe", space, SIGNS, 1)
    trials: list[Trial] = []
    for number in range(40):
        point = sampler.suggest(trials, number)
        assert point is not None
        failed = quadratic(point) < 2.0
        values = {} if failed else {"loss": quadratic(point)}
        state = State.INFEASIBLE if failed else State.COMPLETE
        trials.append(Trial(number=number, point=point, state=state, values=values))
    assert sum(trial.state is State.INFEASIBLE for trial in trials[20:]) <= 9


def test_several_objectives() -> None:
    signs = {"loss": 1, "accuracy": -1}
    space = space_of(*TWO_RATES)
    trials = [
        Trial(number=n, point=trial.point, state=State.COMPLETE, values={"loss": n % 5, "accuracy": n % 3})
        for n, trial in enumerate(search(create_sampler("qmc", space, SIGNS, 1), 10))
    ]
    for name in ("tpe", "gp", "random", "qmc"):
        assert create_sampler(name, space, signs, 1).suggest(trials, 10)
    with pytest.raises(UserError, match="sampler='cmaes' takes one objective, not loss, accuracy: use tpe, gp or qmc"):
        create_sampler("cmaes", space, signs, 1)


def test_the_automatic_sampler() -> None:
    def choice(*lines: str, signs: Signs = SIGNS) -> str:
        sampler = create_sampler("auto", space_of(*lines), signs, 1)
        assert isinstance(sampler, OptunaSampler)
        return sampler.name

    assert choice(*TWO_RATES) == "gp"
    assert choice(*CONDITIONAL) == "tpe", "a Gaussian process would draw beta2 at random"
    assert choice(*TWO_RATES, signs={"loss": 1, "seconds": 1}) == "tpe"


def test_a_grid_of_a_continuous_range_is_refused_before_the_first_trial() -> None:
    with pytest.raises(UserError, match="continuous range"):
        create_sampler("grid", space_of(RATE), SIGNS, 1)
