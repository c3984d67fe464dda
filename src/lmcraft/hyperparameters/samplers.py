"""Which point to try next, from the table of trials alone: the same table gives the same point.

Shapes: D dimensions.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

import numpy as np
from cmaes import CMA
from scipy.stats import qmc

from lmcraft.errors import UserError
from lmcraft.hyperparameters.optuna_study import OPTUNA_SAMPLERS, minimized_values, suggest_point
from lmcraft.hyperparameters.space import MAX_GRID_POINTS, Space
from lmcraft.hyperparameters.trial import Kind, Point, Signs, Trial

MAX_DRAWS = 1000  # of random points, while constraints exclude them or they are tried already
BAYESIAN_DRAWS = 5  # of a point that is not tried yet
MIN_STARTUP_TRIALS = 5  # of the Sobol sequence, before a model of the objective is fitted
MAX_GP_DIMENSIONS = 10  # of the automatic choice
CMA_SIGMA = 0.25  # standard deviation of the first generation, as a share of each range


@dataclass(frozen=True)
class Sampler(ABC):
    """Suggests points of a space."""

    space: Space
    signs: Signs
    seed: int = 1

    def suggest(self, trials: Sequence[Trial], number: int, fixed: Point | None = None) -> Point | None:
        """A point that no trial has, and that the constraints allow; None if there is none.

        Args:
            trials: those so far.
            number: that of the trial that the point is for.
            fixed: values that the point must have.
        """
        tried = {frozenset(trial.point.items()) for trial in trials if trial.kind is Kind.TRIAL}
        for point in self.candidates(trials, number, fixed or {}):
            if frozenset(point.items()) not in tried and self.space.allows(point):
                return point
        return None

    @abstractmethod
    def candidates(self, trials: Sequence[Trial], number: int, fixed: Point) -> Iterator[Point]:
        """Points in the order in which to try them; constraints may exclude them, and trials may have them already."""

    def random_points(self, number: int, fixed: Point) -> Iterator[Point]:
        """Random points and, if there are so few points that none of these is new, all points in a random order."""
        rng = np.random.default_rng([self.seed, number])
        for _ in range(MAX_DRAWS):
            yield self.space.from_unit(rng.random(len(self.space.dimensions)), fixed)
        if self.space.is_finite:
            points = list(islice(self.space.grid(), MAX_GRID_POINTS))
            for index in rng.permutation(len(points)):
                if all(points[index].get(name, value) == value for name, value in fixed.items()):
                    yield points[index]

    def sobol_points(self, number: int, fixed: Point) -> Iterator[Point]:
        """The points of a scrambled Sobol sequence (doi:10.1016/0041-5553(67)90144-9) from this number on."""
        sequence = qmc.Sobol(len(self.space.dimensions), seed=self.seed)
        if number:
            sequence.fast_forward(number)
        for _ in range(MAX_DRAWS):
            yield self.space.from_unit(sequence.random(1)[0], fixed)


class GridSampler(Sampler):
    """Every combination of values once, in a random order."""

    def candidates(self, trials: Sequence[Trial], number: int, fixed: Point) -> Iterator[Point]:
        points = self.space.grid_points()
        for index in np.random.default_rng(self.seed).permutation(len(points)):
            if all(points[index].get(name, value) == value for name, value in fixed.items()):
                yield points[index]


class RandomSampler(Sampler):
    """Independent points (Bergstra and Bengio, 2012)."""

    def candidates(self, trials: Sequence[Trial], number: int, fixed: Point) -> Iterator[Point]:
        return self.random_points(number, fixed)


class SobolSampler(Sampler):
    """Points that cover the space more evenly than random ones."""

    def candidates(self, trials: Sequence[Trial], number: int, fixed: Point) -> Iterator[Point]:
        return chain(self.sobol_points(number, fixed), self.random_points(number, fixed))


@dataclass(frozen=True)
class OptunaSampler(Sampler):
    """A sampler of Optuna, which sees an in-memory study of the trials."""

    name: str = "tpe"

    def candidates(self, trials: Sequence[Trial], number: int, fixed: Point) -> Iterator[Point]:
        startup_trials = max(MIN_STARTUP_TRIALS, len(self.space.dimensions) + 2)
        if len(minimized_values(trials, self.signs)) < startup_trials:
            yield from self.sobol_points(number, fixed)
        excluded: list[Point] = []
        for attempt in range(BAYESIAN_DRAWS):
            seed = _mix_seed(self.seed, number, attempt)
            point = suggest_point(self.name, self.space, trials, self.signs, seed, fixed=fixed, excluded=excluded)
            yield point
            if not self.space.allows(point):
                excluded.append(point)
        yield from self.random_points(number, fixed)


class EvolutionSampler(Sampler):
    """CMA-ES in the unit cube (arXiv 1604.00772). Its state is computed again from the trials, in generations by number."""

    def candidates(self, trials: Sequence[Trial], number: int, fixed: Point) -> Iterator[Point]:
        dimensions = len(self.space.dimensions)
        default = self.space.default_point()
        mean = np.full(dimensions, 0.5) if default is None else self.space.to_unit(default)
        strategy = CMA(mean, CMA_SIGMA, bounds=np.tile((0.0, 1.0), (dimensions, 1)))
        values = minimized_values(trials, self.signs)
        solutions = [(self.space.to_unit(t.point), values[t.number][0]) for t in trials if t.number in values]
        size = strategy.population_size
        for start in range(0, len(solutions) - size + 1, size):
            strategy.tell(solutions[start : start + size])
        strategy.reseed_rng(_mix_seed(self.seed, number))
        for _ in range(BAYESIAN_DRAWS):
            yield self.space.from_unit(np.clip(strategy.ask(), 0, 1), fixed)
        yield from self.random_points(number, fixed)


SAMPLERS: Mapping[str, Callable[[Space, Signs, int], Sampler]] = {
    "grid": GridSampler,
    "random": RandomSampler,
    "qmc": SobolSampler,
    "cmaes": EvolutionSampler,
    **{name: partial(OptunaSampler, name=name) for name in OPTUNA_SAMPLERS},
}


def create_sampler(name: str, space: Space, signs: Signs, seed: int) -> Sampler:
    """The sampler with this name.

    Args:
        name: of `SAMPLERS`, or auto: gp, unless the space has conditions, whose settings it would draw at random, or many
            dimensions, or several objectives.
        space: what varies.
        signs: of each objective, 1 to minimize it and -1 to maximize it.
        seed: of all that is random.

    Raises:
        UserError: the sampler does not go with the space, or with several objectives.
    """
    if name == "auto":
        is_simple = len(signs) == 1 and len(space.dimensions) <= MAX_GP_DIMENSIONS
        name = "gp" if is_simple and not any(dimension.when for dimension in space.dimensions) else "tpe"
    if name == "cmaes" and len(signs) > 1:
        raise UserError(f"sampler='cmaes' takes one objective, not {', '.join(signs)}: use tpe, gp or qmc")
    if name == "grid":
        space.grid_points()
    return SAMPLERS[name](space, signs, seed)


def _mix_seed(*numbers: int) -> int:
    """A seed of 32 bits from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
