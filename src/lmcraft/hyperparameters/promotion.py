"""Which paused trial to train further: successive halving, its brackets, and a power law of each trial's curve.

A trial trains to a rung, a number of steps, and pauses. Of the trials that reached the rung, one in `reduction_factor` goes
on to the next, whose steps are as many times more, from its checkpoint. All of it follows from the table of trials alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lmcraft.hyperparameters.trial import Kind, Signs, State, Trial

FINALISTS = 2  # trials trained to the end at least: the winner is compared with a runner-up
DEFAULT_RUNGS = 1  # below the whole run: earlier losses favor high learning rates (benchmarks/search.md)
# Of a power law of a loss, whose exponent a short curve hardly tells.
RELATIVE_NOISE = 0.01
USUAL_EXPONENT, EXPONENT_SPREAD = 0.5, 1.0  # the spread of its logarithm
EXPONENTS = np.geomspace(0.05, 3, 40)


def rungs_of(max_steps: int, min_steps: int, reduction_factor: int) -> tuple[int, ...]:
    """The steps at which trials pause, and the whole run at the end: about `reduction_factor` times more each time.

    Args:
        max_steps: of the whole run.
        min_steps: of the first rung; 0: the whole run, divided by the factor.
        reduction_factor: at least 2.
    """
    step = min_steps or math.ceil(max_steps / reduction_factor**DEFAULT_RUNGS)
    rungs = []
    while step < max_steps / math.sqrt(reduction_factor):
        rungs.append(step)
        step *= reduction_factor
    return (*rungs, max_steps)


@dataclass(frozen=True)
class Promoter:
    """Chooses the trials that are trained further.

    One bracket is ASHA (arXiv 1810.05934). With one for each rung, it is Hyperband (arXiv 1603.06560): the trials of
    bracket b begin at rung b, so that some are judged early, and some not before the end.
    """

    signs: Signs
    rungs: Sequence[int]
    """Steps at which trials pause; the last one is the whole run."""
    reduction_factor: int = 3
    brackets: int = 1
    predicts: bool = False
    """Whether trials are ranked by a power law of their curves at the end of the run, not by their values at the rung."""

    def bracket_of(self, number: int) -> int:
        """The bracket of a new trial: each bracket trains for about the same number of steps."""
        last = len(self.rungs) - 1
        shares = [self.reduction_factor ** (last - bracket) / (last - bracket + 1) for bracket in range(self.brackets)]
        counts = [0] * self.brackets
        chosen = 0
        for total in range(1, number + 2):
            chosen = max(range(self.brackets), key=lambda b: shares[b] / sum(shares) * total - counts[b])
            counts[chosen] += 1
        return chosen

    def first_target(self, bracket: int) -> int:
        """The step at which a new trial pauses; 0: it trains to its end."""
        return self._target(bracket)

    def _target(self, rung: int) -> int:
        return self.rungs[rung] if rung < len(self.rungs) - 1 else 0

    def choose(self, trials: Sequence[Trial], is_last: bool = False) -> tuple[Trial, int] | None:
        """A paused trial to continue, and its next target step.

        Args:
            trials: all of them.
            is_last: nothing else can be done, so that at least `FINALISTS` have to be trained to the end.
        """
        searched = [t for t in trials if t.kind is Kind.TRIAL and t.state not in (State.FAILED, State.INFEASIBLE)]
        finalists = sum(trial.target_step == 0 for trial in searched)
        for rung in reversed(range(len(self.rungs) - 1)):
            for bracket in range(min(rung + 1, self.brackets)):
                ranked = self.rank([trial for trial in searched if trial.bracket == bracket], self.rungs[rung])
                for trial in ranked[: len(ranked) // self.reduction_factor]:
                    if self._is_paused_at(trial, rung):
                        return trial, self._target(rung + 1)
        if is_last and finalists < FINALISTS:
            for rung in reversed(range(len(self.rungs) - 1)):
                paused = [trial for trial in searched if self._is_paused_at(trial, rung)]
                if ranked := self.rank(paused, self.rungs[rung]):
                    return ranked[0], self._target(rung + 1)
        return None

    def _is_paused_at(self, trial: Trial, rung: int) -> bool:
        return trial.state is State.PAUSED and trial.target_step == self.rungs[rung]

    def rank(self, trials: Sequence[Trial], step: int) -> list[Trial]:
        """The trials that reached a step, the best first.

        With several objectives, those that none dominates come first, then those that only these dominate, and so on.
        """
        values = {t.number: numbers for t in trials if (numbers := self._values_at(t, step)) is not None}
        reached = sorted((t for t in trials if t.number in values), key=lambda t: (values[t.number], t.number))
        if len(self.signs) == 1:
            return reached
        ranked: list[Trial] = []
        while reached:
            front = [t for t in reached if not any(_dominates(values[o.number], values[t.number]) for o in reached)]
            ranked += front
            reached = [trial for trial in reached if trial not in front]
        return ranked

    def _values_at(self, trial: Trial, step: int) -> tuple[float, ...] | None:
        """The objectives of a trial at a step, to minimize, or what a power law predicts of them; None before the step."""
        past = [point for point in trial.curve if point.step <= step]
        if not past or max(trial.step, trial.curve[-1].step) < step:
            return None
        values = []
        for name, sign in self.signs.items():
            curve = tuple((p.step, sign * p.values[name]) for p in past if p.step > 0 and name in p.values)
            if curve:
                value = predict(curve, self.rungs[-1]) if self.predicts else curve[-1][1]
                values.append(value if math.isfinite(value) else math.inf)
        return tuple(values) or None


def create_promoter(name: str, signs: Signs, max_steps: int, min_steps: int = 0, reduction_factor: int = 3) -> Promoter:
    """The promoter with this name: none, asha, hyperband or power-law; see `rungs_of`."""
    rungs = (max_steps,) if name == "none" else rungs_of(max_steps, min_steps, reduction_factor)
    brackets = len(rungs) if name == "hyperband" else 1
    return Promoter(signs, rungs, reduction_factor, brackets, predicts=name == "power-law")


def _dominates(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether the first is nowhere worse, and somewhere better."""
    return first != second and all(a <= b for a, b in zip(first, second, strict=True))


@lru_cache(maxsize=10_000)
def predict(curve: Sequence[tuple[int, float]], step: int) -> float:
    """The value at a later step by L(t) = E + A t^-b, fitted to (step, value) pairs with steps above 0.

    For each exponent b the best E and A >= 0 are a line's; of the exponents, the one with the smallest squared errors is
    taken, whose prior matters where points are few: two points do not tell an exponent.
    """
    steps, values = np.array(curve, dtype=float).T
    if len(curve) == 1 or not np.isfinite(values).all():
        return float(values[-1])
    x = steps ** -EXPONENTS[:, None]
    x_centered, y_centered = x - x.mean(1, keepdims=True), values - values.mean()
    slope = np.maximum((x_centered * y_centered).sum(1) / (x_centered**2).sum(1), 0)
    errors = y_centered - slope[:, None] * x_centered
    noise = max(RELATIVE_NOISE * abs(values[-1]), 1e-12)
    cost = (errors**2).sum(1) / noise**2 + (np.log(EXPONENTS / USUAL_EXPONENT) / EXPONENT_SPREAD) ** 2
    best = cost.argmin()
    return float(values.mean() + slope[best] * (step ** -EXPONENTS[best] - x[best].mean()))
