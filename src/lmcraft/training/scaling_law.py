"""The law of loss over parameters and tokens, fitted to a family of runs.

L(N, D) = E + A / N^alpha + B / D^beta (arXiv 2203.15556, eq. 10): what no model can learn, what a model of N parameters
misses, and what D tokens do not teach.

N counts every parameter, embeddings too. In models as small as these the embeddings, whose tied matrix is the output
projection, do much of the work, and leaving them out bends the law (arXiv 2406.12907, section 3).

Shapes: R fits at once, P points, 5 unknowns.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

UNKNOWNS = 5
HUBER = 1e-3  # arXiv 2203.15556, appendix D.3
ITERATIONS = 300
REPLICATES = 200
INTERVAL = 0.9  # share of the replicates that an interval holds
# The unknowns are log E, log of either term at the points' mean, and the logs of both exponents: all five are positive.
LOWEST = np.array([-12.0, -12.0, -5.0, -12.0, -5.0])
HIGHEST = np.array([5.0, 5.0, 1.5, 5.0, 1.5])


@dataclass(frozen=True)
class Point:
    """What one run of the family came to."""

    depth: int
    parameters: int
    """All of them."""
    embedding_parameters: int
    """Of these, in the embeddings and the output projection."""
    tokens: int
    """Targets trained on."""
    loss: float
    """On the validation split after the last step, in nats a token."""


@dataclass(frozen=True)
class ScalingLaw:
    """L(N, D) = E + A / N^alpha + B / D^beta, in nats a token."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float

    def loss(self, parameters: float, tokens: float) -> float:
        """The loss of a model with so many parameters after so many tokens."""
        return self.E + self.A / math.pow(parameters, self.alpha) + self.B / math.pow(tokens, self.beta)

    def optimal(self, flops: float) -> tuple[float, float]:
        """Parameters and tokens of the lowest loss for a budget C = 6 N D of operations (arXiv 2203.15556, eq. 4)."""
        both = self.alpha + self.beta
        balance = (self.alpha * self.A / (self.beta * self.B)) ** (1 / both)
        return balance * (flops / 6) ** (self.beta / both), (flops / 6) ** (self.alpha / both) / balance


@dataclass(frozen=True)
class Prediction:
    """The loss of a run that has not been made, and the interval that holds it with `INTERVAL`'s probability."""

    loss: float
    low: float
    high: float


@dataclass(frozen=True)
class Fit:
    """The law of some points, and those of the same points with other errors."""

    law: ScalingLaw
    replicates: Sequence[ScalingLaw]
    deviation: float
    """Standard deviation of the log of a run's loss around the law."""

    def predict(self, parameters: float, tokens: float) -> Prediction:
        """The loss of a run; the interval has room for the run's own error beside the law's."""
        losses = np.array([law.loss(parameters, tokens) for law in self.replicates])
        own = np.random.default_rng(1).normal(0, self.deviation, len(losses))
        low, high = interval(losses * np.exp(own))
        return Prediction(self.law.loss(parameters, tokens), low, high)


def interval(values: Floats) -> tuple[float, float]:
    """The middle `INTERVAL` of some values."""
    low, high = np.quantile(values, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return float(low), float(high)


def fit_scaling_law(points: Sequence[Point]) -> Fit:
    """The law whose logarithm misses the points' by the least sum of Huber losses (arXiv 2203.15556, section 3.3).

    The interval comes from a parametric bootstrap: the runs stay where they are in N and D, and normal errors of the
    deviation that was found take the place of theirs. Errors drawn from those that were found give too narrow an interval,
    since a loss that is nearly absolute leads the law through five of the points; runs drawn anew often leave two sizes.
    """
    assert len(points) > UNKNOWNS, points
    n_P, d_P, loss_P = (np.log([getattr(p, name) for p in points]) for name in ("parameters", "tokens", "loss"))
    center_n, center_d = n_P.mean(), d_P.mean()
    n_P, d_P = n_P - center_n, d_P - center_d
    grid = _starts(loss_P.min())
    best = _best(grid, n_P, d_P, loss_P[None])[0]
    fitted_P = _log_loss(best, n_P, d_P)[0]
    deviation = math.sqrt(((loss_P - fitted_P) ** 2).sum() / (len(points) - UNKNOWNS))
    drawn_RP = fitted_P + np.random.default_rng(0).normal(0, deviation, (REPLICATES, len(points)))
    replicates = _best(np.vstack([best, grid[7::16]]), n_P, d_P, drawn_RP)

    def law(theta: Floats) -> ScalingLaw:
        e, a, log_alpha, b, log_beta = (float(value) for value in theta)
        alpha, beta = math.exp(log_alpha), math.exp(log_beta)
        return ScalingLaw(math.exp(e), math.exp(a + alpha * center_n), alpha, math.exp(b + beta * center_d), beta)

    return Fit(law(best), [law(theta) for theta in replicates], deviation)


def _starts(lowest: float) -> Floats:
    """A grid of both exponents and of E as a share of the lowest loss; the terms share the rest. (S, 5)"""
    values = (0.1, 0.2, 0.4, 0.8, 1.6)
    grid = []
    for share in (0.1, 0.5, 0.9):
        e, term = lowest + math.log(share), lowest + math.log((1 - share) / 2)
        grid += [(e, term, math.log(alpha), term, math.log(beta)) for alpha in values for beta in values]
    return np.array(grid)


def _best(starts: Floats, n_P: Floats, d_P: Floats, loss_RP: Floats) -> Floats:
    """For each row of losses the best of the fits from all starts. (R, 5)"""
    R, S = len(loss_RP), len(starts)
    theta, value = _minimize(np.tile(starts, (R, 1)), n_P, d_P, loss_RP.repeat(S, 0))
    chosen = value.reshape(R, S).argmin(1)
    best: Floats = theta.reshape(R, S, UNKNOWNS)[np.arange(R), chosen]
    return best


def _minimize(theta: Floats, n_P: Floats, d_P: Floats, loss_RP: Floats) -> tuple[Floats, Floats]:
    """Levenberg-Marquardt with Huber's weights, every row by itself; returns the unknowns (R, 5) and the sums (R,)."""
    theta = np.clip(theta, LOWEST, HIGHEST)
    damping = np.full(len(theta), 1e-2)
    value = _huber(loss_RP - _log_loss(theta, n_P, d_P)).sum(1)
    for _ in range(ITERATIONS):
        error_RP = loss_RP - _log_loss(theta, n_P, d_P)
        weight_RP = HUBER / np.maximum(np.abs(error_RP), HUBER)
        slope_RP5 = _slopes(theta, n_P, d_P)
        weighted = slope_RP5 * weight_RP[..., None]
        normal = np.einsum("rpi,rpj->rij", weighted, slope_RP5)
        diagonal = np.einsum("rii->ri", normal)
        normal = normal + (damping[:, None] * diagonal + 1e-12)[:, None] * np.eye(UNKNOWNS)
        gradient = np.einsum("rpi,rp->ri", weighted, error_RP)
        tried = np.clip(theta + np.linalg.solve(normal, gradient[..., None])[..., 0], LOWEST, HIGHEST)
        found = _huber(loss_RP - _log_loss(tried, n_P, d_P)).sum(1)
        better = found < value
        theta[better], value[better] = tried[better], found[better]
        damping = np.clip(np.where(better, damping / 3, damping * 4), 1e-9, 1e9)
    return theta, value


def _terms(theta: Floats, n_P: Floats, d_P: Floats) -> Floats:
    """The logs of the three terms. (R, 3, P)"""
    e, a, log_alpha, b, log_beta = np.atleast_2d(theta).T[..., None]
    return np.stack([e + 0 * n_P, a - np.exp(log_alpha) * n_P, b - np.exp(log_beta) * d_P], 1)


def _log_loss(theta: Floats, n_P: Floats, d_P: Floats) -> Floats:
    """The log of the law's losses. (R, P)"""
    total: Floats = np.logaddexp.reduce(_terms(theta, n_P, d_P), axis=1)
    return total


def _slopes(theta: Floats, n_P: Floats, d_P: Floats) -> Floats:
    """Derivatives of the log of the loss by each unknown. (R, P, 5)"""
    terms = _terms(theta, n_P, d_P)
    share_E, share_A, share_B = np.exp(terms - np.logaddexp.reduce(terms, axis=1, keepdims=True)).transpose(1, 0, 2)
    alpha, beta = np.exp(theta[:, 2:3]), np.exp(theta[:, 4:5])
    return np.stack([share_E, share_A, -share_A * alpha * n_P, share_B, -share_B * beta * d_P], 2)


def _huber(error: Floats) -> Floats:
    size = np.abs(error)
    loss: Floats = np.where(size <= HUBER, error**2 / 2, HUBER * (size - HUBER / 2))
    return loss
