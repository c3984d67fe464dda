"""Which settings matter: the share of the differences between trials that each setting explains.

Shapes: D dimensions, T trials, C columns of a design, R replicates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan, sqrt

import numpy as np
from numpy.typing import NDArray

from lmcraft.hyperparameters.space import Dimension, Space
from lmcraft.hyperparameters.trial import Kind, State, Trial, Value
from lmcraft.statistics.intervals import UPPER, Metric

Floats = NDArray[np.float64]

MIN_TRIALS = 8
TRIALS_PER_SETTING = 5
REPLICATES = 300
PENALTIES = np.geomspace(1e-3, 10, 9)
MAX_GRID = 50


@dataclass(frozen=True)
class Importance:
    """How much of the differences between trials the settings explain."""

    trials: int
    """Number of those with a value."""
    explained: Metric = field(default_factory=lambda: Metric(nan))
    """Share that all settings together explain, from 0 to 1, of trials that the model was not fitted to."""
    settings: Mapping[str, Metric] = field(default_factory=dict)
    """Share that each setting explains, by its full name, the largest first; empty if there are too few trials."""
    warning: str = ""
    """Why the shares are not reliable; empty if they are."""


def estimate_importance(space: Space, trials: Sequence[Trial], objective: str, sign: int) -> Importance:
    """The importance of each dimension for one objective.

    The ranks of the trials are modeled as a sum of one function per setting: a quadratic of a number (of its logarithm, if
    the range is logarithmic), a free value for each choice. They are fitted by ridge regression, with the penalty that
    predicts best the trials that it leaves out. The variance of a function over the whole range is the setting's Sobol index
    (Sudret 2008, doi:10.1016/j.ress.2007.04.002), whatever points the sampler preferred. It is multiplied by the explained
    share of the trials left out, so that settings without effect are near 0. Trials that stopped early rank below those
    trained further, as in Optuna's samplers. Intervals come from samples of the trials with replacement.

    How often the two of five settings that matter are in order, in percent of 50 searches (benchmarks/importance.py), and
    by Optuna's PED-ANOVA (arXiv 2304.10255), for the best tenth and the best 30% of the trials:

    | trials | random points | TPE |
    |---|---|---|
    | 12 | 44 (18, 18) | 38 (12, 24) |
    | 25 | 80 (28, 38) | 64 (32, 46) |
    | 60 | 94 (82, 70) | 88 (44, 64) |

    Args:
        space: what varies.
        trials: all of the search.
        objective: its name.
        sign: 1 if it is minimized, -1 if it is maximized.
    """
    ranked = _in_order(trials, objective, sign)
    dimensions = [d for d in space.dimensions if len({trial.point.get(d.name) for trial, _ in ranked}) > 1]
    count = len(ranked)
    if count < MIN_TRIALS:
        return Importance(count, warning=f"Too few trials with a value ({count}): at least {MIN_TRIALS} are needed.")
    ranks_T = _average_ranks([key for _, key in ranked])
    if np.ptp(ranks_T) == 0 or not dimensions:
        return Importance(count, warning=f"All trials have the same {objective if dimensions else 'settings'}.")
    designs = [np.array([_columns(d, trial.point.get(d.name)) for trial, _ in ranked]) for d in dimensions]
    rng = np.random.default_rng(0)
    weights_RT = np.vstack([np.ones(count), rng.multinomial(count, np.full(count, 1 / count), size=REPLICATES)])
    coefficients_RC, explained_R = _fit(np.hstack(designs), (ranks_T - ranks_T.mean()) / ranks_T.std(), weights_RT)
    parts = np.split(coefficients_RC, np.cumsum([design.shape[1] for design in designs])[:-1], axis=1)
    variances_DR = np.array([
        _active_share(d, space) * (part_RC @ _grid_columns(d).T).var(axis=1)
        for d, part_RC in zip(dimensions, parts, strict=True)
    ])  # fmt: skip
    shares_DR = explained_R * variances_DR / np.maximum(variances_DR.sum(axis=0), 1e-12)
    settings = {d.name: _with_interval(shares_R) for d, shares_R in zip(dimensions, shares_DR, strict=True)}
    explained = _with_interval(explained_R)
    ordered = dict(sorted(settings.items(), key=lambda item: -item[1].value))
    return Importance(count, explained, ordered, _describe_doubts(count, len(dimensions), explained))


def _describe_doubts(trials: int, settings: int, explained: Metric) -> str:
    doubts = []
    if not explained.low:
        doubts.append("The settings may explain nothing: their effects are not told from noise.")
    if trials < (enough := TRIALS_PER_SETTING * settings):
        doubts.append(
            f"{trials} trials are few for {settings} settings, so the intervals are wide: {enough} would tell more."
        )
    return " ".join(doubts)


def _in_order(trials: Sequence[Trial], objective: str, sign: int) -> list[tuple[Trial, tuple[float, float]]]:
    """The trials with a value and what they rank by: those trained further first, then the better ones."""
    ranked = []
    for trial in trials:
        if trial.kind is not Kind.TRIAL or trial.state not in (State.COMPLETE, State.PAUSED):
            continue
        is_complete = trial.state is State.COMPLETE
        values = trial.values if is_complete else trial.curve[-1].values if trial.curve else {}
        if (value := values.get(objective)) is not None:
            badness = sign * value if isfinite(value) else np.inf
            ranked.append((trial, (-np.inf if is_complete else -float(trial.curve[-1].step), badness)))
    return sorted(ranked, key=lambda item: item[1])


def _average_ranks(keys: Sequence[tuple[float, float]]) -> Floats:
    """The ranks of sorted keys; equal keys share the mean of theirs."""
    ranks: dict[tuple[float, float], list[int]] = {}
    for rank, key in enumerate(keys):
        ranks.setdefault(key, []).append(rank)
    return np.array([sum(ranks[key]) / len(ranks[key]) for key in keys])


def _columns(dimension: Dimension, value: Value | None) -> list[float]:
    """The columns of the design of a value; zeros if the point does not have the dimension."""
    if not dimension.is_ordered:
        count = len(dimension.choices)
        return [0.0 if value is None else sqrt(count) * ((choice == value) - 1 / count) for choice in dimension.choices]
    return [0.0, 0.0] if value is None else _legendre(dimension.to_unit(value))


def _legendre(u: float) -> list[float]:
    """The orthonormal polynomials of degree 1 and 2 over the unit interval."""
    x = 2 * u - 1
    return [sqrt(3) * x, sqrt(5) * (3 * x * x - 1) / 2]


def _grid_columns(dimension: Dimension) -> Floats:
    """The columns of values spread over the whole range, (values, C)."""
    count = min(dimension.count or MAX_GRID, MAX_GRID)
    if not dimension.is_ordered:
        return np.array([_columns(dimension, choice) for choice in dimension.choices])
    return np.array([_legendre((n + 0.5) / count) for n in range(count)])


def _active_share(dimension: Dimension, space: Space) -> float:
    """The share of the space in which the dimension's condition is true."""
    share = 1.0
    for name, values in dimension.when.items():
        parent = next(d for d in space.dimensions if d.name == name)
        share *= min(1.0, len(values) / (parent.count or len(values))) * _active_share(parent, space)
    return share


def _fit(design_TC: Floats, targets_T: Floats, weights_RT: Floats) -> tuple[Floats, Floats]:
    """Ridge regressions, one for each row of weights: the coefficients, (R, C), and the share explained of what is left out.

    The penalty is the one with the smallest squared errors of trials that are left out, with all their copies.
    """
    trials, columns = design_TC.shape
    x_TC = np.hstack([np.ones((trials, 1)), design_TC])
    penalty_C = np.r_[0.0, np.full(columns, float(trials))]
    totals_R = weights_RT.sum(axis=1)
    means_R = weights_RT @ targets_T / totals_R
    left_out_RT = (targets_T - means_R[:, None]) / (1 - weights_RT / totals_R[:, None])
    total_R = (weights_RT * left_out_RT**2).sum(axis=1)
    best_R, coefficients_RC = np.full(len(weights_RT), np.inf), np.zeros((len(weights_RT), columns))
    for row, weights_T in enumerate(weights_RT):
        used = weights_T > 0
        x, y, w = x_TC[used], targets_T[used], weights_T[used]
        moments_CT = (x * w[:, None]).T
        for penalty in PENALTIES:
            solved_CT = np.linalg.solve(moments_CT @ x + np.diag(penalty * penalty_C), moments_CT)
            fitted = solved_CT.T
            coefficients = solved_CT @ y
            errors = (y - x @ coefficients) / (1 - np.einsum("tc,tc->t", x, fitted))
            if (error := float(w @ errors**2)) < best_R[row]:
                best_R[row], coefficients_RC[row] = error, coefficients[1:]
    return coefficients_RC, np.maximum(0.0, 1 - best_R / total_R)


def _with_interval(values_R: Floats) -> Metric:
    """The first value, with the percentiles of the others."""
    low, high = np.quantile(values_R[1:], [1 - UPPER, UPPER])
    return Metric(float(values_R[0]), float(low), float(high))
