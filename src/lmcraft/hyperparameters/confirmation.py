"""Whether the winner of a search is better than the others, or a tie.

The lowest of many noisy values is lower than what the same settings give again: the winner's curse. So the finalists (the
winner, the runner-up and the defaults) are trained again with new seeds, and compared on the holdout, validation data that
the search has not used.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan, sqrt

import numpy as np

from lmcraft.hyperparameters.scheduling import NewTrial
from lmcraft.hyperparameters.trial import Kind, Point, State, Trial
from lmcraft.statistics.distributions import t_quantile, two_sided_p_value
from lmcraft.statistics.intervals import UPPER, Metric, mean_interval
from lmcraft.statistics.multiple import adjusted_p_values

WINNER, RUNNER_UP, DEFAULT = "winner", "runner-up", "default"
FIRST_SEED = 1000  # of the confirmation; those of the search are far below
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Finalist:
    """A trial that is trained again, and the values of these runs."""

    role: str
    trial: Trial
    validation: Sequence[float]
    """The objective of each run with a new seed, on the data that the search used."""
    holdout: Sequence[float]
    """The objective of each run with a new seed, on data that the search did not use."""

    @property
    def mean(self) -> Metric:
        """The mean on the holdout."""
        return mean_interval(self.holdout)


@dataclass(frozen=True)
class Gain:
    """How much better the winner is than another finalist."""

    role: str
    difference: Metric
    """The other's mean on the holdout less the winner's, in the direction in which more is better."""
    p_value: float | None
    """Adjusted for the number of comparisons (Holm); None: too few runs."""

    @property
    def is_tie(self) -> bool:
        """Whether the difference may be chance."""
        return self.p_value is None or self.p_value > SIGNIFICANCE


@dataclass(frozen=True)
class Verdict:
    """What a search has found."""

    objective: str
    finalists: Sequence[Finalist]
    """The winner first."""
    gains: Sequence[Gain]
    noise: float
    """Standard deviation between seeds, on the data that the search used; NaN: unknown."""
    optimism: float
    """How much better the winner looked in the search than the mean of its runs with new seeds, on the same data."""
    tied: Sequence[int]
    """The numbers of the trials whose values are within the noise of the winner's."""
    used_holdout: bool
    """Whether the finalists were compared on data that the search did not use."""

    @property
    def winner(self) -> Trial:
        return self.finalists[0].trial

    def gain_over(self, role: str) -> Gain | None:
        """The comparison with the finalist of a role."""
        return next((gain for gain in self.gains if gain.role == role), None)

    @property
    def is_tie(self) -> bool:
        """Whether the winner may be no better than the runner-up."""
        gain = self.gain_over(RUNNER_UP)
        return gain is None or gain.is_tie

    def sentences(self) -> Iterator[str]:
        """The verdict in words."""
        for gain in self.gains:
            yield self._describe(gain)
        if isfinite(self.noise):
            yield (
                f"two runs that differ only in the seed differ by about {sqrt(2) * self.noise:.2g}; "
                f"{len(self.tied)} of the finished trials are within noise of the winner"
            )
        if isfinite(self.optimism):
            relation = "better" if self.optimism >= 0 else "worse"
            yield f"the winner looked {abs(self.optimism):.4f} {relation} in the search than it is with new seeds"

    def _describe(self, gain: Gain) -> str:
        other, value = gain.role if gain.role == RUNNER_UP else "defaults", gain.difference
        if gain.p_value is None or value.low is None or value.high is None:
            return f"the winner and the {other} cannot be told apart: too few runs with new seeds"
        relation = "ties with" if gain.is_tie else f"is {'better' if value.value > 0 else 'worse'} than"
        runs, data = (
            len(self.finalists[0].holdout),
            "data that the search did not use" if self.used_holdout else "the same data",
        )
        return (
            f"the winner {relation} the {other}: the gain in {self.objective} is {value.value:.4f} "
            f"({value.low:.4f} to {value.high:.4f}), p = {gain.p_value:.2g}, from {runs} new seeds each, on {data}"
        )

    def to_json(self) -> dict[str, object]:
        """For verdict.json."""
        finalists = [
            {
                "role": finalist.role,
                "trial": finalist.trial.number,
                "settings": dict(finalist.trial.point),
                "validation": list(finalist.validation),
                "holdout": list(finalist.holdout),
            }
            for finalist in self.finalists
        ]
        gains = [
            {
                "over": gain.role,
                "value": _or_none(gain.difference.value),
                "low": gain.difference.low,
                "high": gain.difference.high,
            }
            | {"p_value": gain.p_value, "tie": gain.is_tie}
            for gain in self.gains
        ]
        return {
            "objective": self.objective,
            "tie": self.is_tie,
            "finalists": finalists,
            "gains": gains,
            "noise": _or_none(self.noise),
            "optimism": _or_none(self.optimism),
            "tied": list(self.tied),
            "used_holdout": self.used_holdout,
        }


def _or_none(value: float) -> float | None:
    return value if isfinite(value) else None  # JSON has no NaN


def choose_finalists(trials: Sequence[Trial], objective: str, sign: float, default: Point | None) -> dict[str, Trial]:
    """The trials to confirm by role; none if no trial is complete.

    Args:
        trials: of the search.
        objective: its name.
        sign: 1 if less is better, -1 if more is better.
        default: the point with all settings at their defaults, if it is to be compared.
    """
    searched = [trial for trial in trials if trial.kind is Kind.TRIAL]
    complete = [trial for trial in searched if trial.state is State.COMPLETE and isfinite(trial.values.get(objective, nan))]
    complete.sort(key=lambda trial: (sign * trial.values[objective], trial.number))
    finalists = dict(zip((WINNER, RUNNER_UP), complete, strict=False))
    failed = (State.FAILED, State.INFEASIBLE)
    defaults = [t for t in searched if default is not None and dict(t.point) == dict(default) and t.state not in failed]
    if finalists and defaults and defaults[0] not in finalists.values():
        finalists[DEFAULT] = defaults[0]
    return finalists


def next_confirmation(
    trials: Sequence[Trial], objective: str, sign: float, default: Point | None, runs: int
) -> NewTrial | None:
    """The next run of a finalist with a new seed; None if each has `runs` of them."""
    finalists = choose_finalists(trials, objective, sign, default)
    confirmed = {(trial.source, trial.seed) for trial in trials if trial.kind is Kind.CONFIRMATION}
    for seed in range(FIRST_SEED, FIRST_SEED + runs):
        for trial in finalists.values():
            if (trial.number, seed) not in confirmed:
                return NewTrial(point=trial.point, kind=Kind.CONFIRMATION, source=trial.number, seed=seed)
    return None


def judge(trials: Sequence[Trial], objective: str, sign: float, default: Point | None) -> Verdict | None:
    """The verdict on a search; None if no trial is complete."""
    by_role = choose_finalists(trials, objective, sign, default)
    if not by_role:
        return None
    repeats = {trial.number: _repeats(trials, trial) for trial in by_role.values()}
    used_holdout = all(objective in run.holdout for runs in repeats.values() for run in runs)
    finalists = [
        Finalist(
            role,
            trial,
            [run.values[objective] for run in repeats[trial.number]],
            [(run.holdout if used_holdout else run.values)[objective] for run in repeats[trial.number]],
        )
        for role, trial in by_role.items()
    ]
    winner = finalists[0]
    noise, degrees = _pooled_deviation([finalist.validation for finalist in finalists[:2]])
    fresh = sign * float(np.mean(winner.validation)) if winner.validation else nan
    return Verdict(
        objective,
        finalists,
        _compare(winner, finalists[1:], sign),
        noise,
        fresh - sign * winner.trial.values[objective],
        _tied(trials, winner, objective, noise, degrees),
        used_holdout and bool(winner.holdout),
    )


def _repeats(trials: Sequence[Trial], source: Trial) -> list[Trial]:
    """The finished runs of a trial's settings with new seeds."""
    return [
        trial
        for trial in sorted(trials, key=lambda trial: trial.seed)
        if trial.kind is Kind.CONFIRMATION and trial.source == source.number and trial.state is State.COMPLETE
    ]


def _pooled_deviation(groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """The standard deviation within groups of runs, and its degrees of freedom; NaN without any."""
    degrees = sum(len(group) - 1 for group in groups if group)
    squares = sum(float(np.square(np.asarray(group) - np.mean(group)).sum()) for group in groups if group)
    return (sqrt(squares / degrees), degrees) if degrees > 0 else (nan, 0)


def _compare(winner: Finalist, others: Sequence[Finalist], sign: float) -> list[Gain]:
    """Student's two-sample t test with a pooled variance, for each of the others."""
    differences, p_values = list[Metric](), list[float | None]()
    for other in others:
        groups = [finalist.holdout for finalist in (winner, other)]
        difference = sign * float(np.mean(groups[1]) - np.mean(groups[0])) + 0.0 if all(groups) else nan  # no -0
        deviation, degrees = _pooled_deviation(groups)
        error = deviation * sqrt(sum(1 / len(group) for group in groups)) if all(groups) else nan
        if min(map(len, groups)) < 2 or not isfinite(error):
            differences.append(Metric(difference))
            p_values.append(None)
            continue
        half = t_quantile(UPPER, degrees) * error
        differences.append(Metric(difference, difference - half, difference + half))
        p_values.append(two_sided_p_value(difference / error, degrees) if error else float(difference == 0))
    adjusted = adjusted_p_values(p_values)
    return [Gain(other.role, d, p) for other, d, p in zip(others, differences, adjusted, strict=True)]


def _tied(trials: Sequence[Trial], winner: Finalist, objective: str, noise: float, degrees: int) -> list[int]:
    """The complete trials whose value a new run of the winner's settings might have: its 95% prediction interval."""
    if not isfinite(noise) or not winner.validation:
        return []
    half = t_quantile(UPPER, degrees) * noise * sqrt(1 + 1 / len(winner.validation))
    mean = float(np.mean(winner.validation))
    return [
        trial.number
        for trial in trials
        if trial.kind is Kind.TRIAL and trial.state is State.COMPLETE and abs(_value(trial.values, objective) - mean) <= half
    ]


def _value(values: Mapping[str, float], objective: str) -> float:
    return values.get(objective, nan)
