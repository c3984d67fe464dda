"""The scaling law of the loss in parameters and tokens, fitted to a family of runs, and its prediction of a larger run.

L(N, D) = E + A / N^alpha + B / D^beta (arXiv 2203.15556, eq. 10). E is the entropy of the text, A / N^alpha the loss due to
a finite model of N parameters, and B / D^beta the loss due to a finite number of tokens D.

N counts every parameter, including embeddings. In models as small as these the embeddings, whose tied matrix is the output
projection, do much of the work, and leaving them out bends the law (arXiv 2406.12907, section 3).

Shapes: R fits, P points, 5 unknowns.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmcraft.pretraining.task_curves import TaskCurve
from lmcraft.terminal import format_count

Floats = NDArray[np.float64]

UNKNOWNS = 5
HUBER_DELTA = 1e-3  # arXiv 2203.15556, appendix D.3
ITERATIONS = 300
REPLICATES = 200
INTERVAL = 0.9  # share of the replicates that an interval holds
MAX_RELIABLE_DEVIATION = 0.01  # of the runs from the law
BUDGETS = (1, 10, 100)  # times the predicted run's operations
# The unknowns are log E, log of either term at the points' mean, and the logs of both exponents: all five are positive.
MIN_UNKNOWNS = np.array([-12.0, -12.0, -5.0, -12.0, -5.0])
MAX_UNKNOWNS = np.array([5.0, 5.0, 1.5, 5.0, 1.5])


@dataclass(frozen=True)
class Point:
    """One run of a family: its size and its loss."""

    depth: int
    parameters: int
    """Including embeddings."""
    embedding_parameters: int
    """Those of `parameters` in the embeddings and the output projection."""
    tokens: int
    """Targets trained on."""
    loss: float
    """On the validation split after the last step, in nats per token."""


@dataclass(frozen=True)
class ScalingLaw:
    """L(N, D) = E + A / N^alpha + B / D^beta, in nats per token."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float

    def loss(self, parameters: float, tokens: float) -> float:
        """The loss of a model with N = `parameters` after training on D = `tokens`."""
        return self.E + self.A / math.pow(parameters, self.alpha) + self.B / math.pow(tokens, self.beta)

    def optimal(self, flops: float) -> tuple[float, float]:
        """The parameters and tokens of the lowest loss for a budget C = 6 N D of operations (arXiv 2203.15556, eq. 4)."""
        both = self.alpha + self.beta
        balance = (self.alpha * self.A / (self.beta * self.B)) ** (1 / both)
        return balance * (flops / 6) ** (self.beta / both), (flops / 6) ** (self.alpha / both) / balance


@dataclass(frozen=True)
class Prediction:
    """The predicted loss of a run, and the interval that contains it with probability `INTERVAL`."""

    loss: float
    low: float
    high: float


@dataclass(frozen=True)
class Fit:
    """The law of a family's points, and the laws of its bootstrap replicates."""

    law: ScalingLaw
    replicates: Sequence[ScalingLaw]
    deviation: float
    """Standard deviation of the log of a run's loss around the law."""

    def predict(self, parameters: float, tokens: float) -> Prediction:
        """The loss of a run; the interval includes the deviation of a single run from the law."""
        losses = np.array([law.loss(parameters, tokens) for law in self.replicates])
        noise = np.random.default_rng(1).normal(0, self.deviation, len(losses))
        low, high = interval(losses * np.exp(noise))
        return Prediction(self.law.loss(parameters, tokens), low, high)


@dataclass(frozen=True)
class Optimum:
    """The model and the tokens of the lowest predicted loss for a budget of operations."""

    flops: float
    parameters: float
    tokens: float
    loss: float


def optimum(law: ScalingLaw, flops: float) -> Optimum:
    """The optimum of a law for a budget."""
    parameters, tokens = law.optimal(flops)
    return Optimum(float(flops), parameters, tokens, law.loss(parameters, tokens))


@dataclass(frozen=True)
class Scaling:
    """A family's runs, their law, and its prediction of a larger run."""

    points: Sequence[Point]
    fit: Fit
    target: Point
    """The larger run; its loss is NaN until it is trained."""
    tasks: Sequence[TaskCurve] = ()
    """The tasks over sizes and checkpoints."""

    @property
    def trained(self) -> bool:
        """Whether the larger run is trained."""
        return not math.isnan(self.target.loss)

    @property
    def prediction(self) -> Prediction:
        return self.fit.predict(self.target.parameters, self.target.tokens)

    @property
    def error(self) -> float:
        """The predicted loss over the actual one, less 1; NaN until the larger run is trained."""
        return self.prediction.loss / self.target.loss - 1

    @property
    def optimal(self) -> list[Optimum]:
        """The optimum for the larger run's budget, and for multiples of it."""
        return [optimum(self.fit.law, times * 6 * self.target.parameters * self.target.tokens) for times in BUDGETS]

    def coefficients(self) -> dict[str, tuple[float, float, float]]:
        """The value of each coefficient of the law, and the ends of its interval."""
        values = {}
        for name in (field.name for field in fields(ScalingLaw)):
            replicates = np.array([getattr(law, name) for law in self.fit.replicates])
            values[name] = (getattr(self.fit.law, name), *interval(replicates))
        return values

    def as_json(self) -> dict[str, Any]:
        """Points, law, predictions and optima as JSON values."""
        target = asdict(self.target)
        loss = target.pop("loss")
        prediction = asdict(self.prediction) | {"interval": INTERVAL}
        return {
            "points": [asdict(p) | {"law": self.fit.law.loss(p.parameters, p.tokens)} for p in self.points],
            "law": {name: {"value": v, "low": low, "high": high} for name, (v, low, high) in self.coefficients().items()},
            "deviation": self.fit.deviation,
            "prediction": target | prediction,
            "actual": {"loss": loss, "error": self.error} if self.trained else None,
            "optimal": [asdict(optimum) for optimum in self.optimal],
            "tasks": [curve.as_json() for curve in self.tasks],
        }

    def summary(self) -> str:
        """The prediction, and the actual loss if there is one."""
        prediction = self.prediction
        sentence = (
            f"{self.target.depth} blocks, {format_count(self.target.parameters)} parameters, "
            f"{format_count(self.target.tokens)} tokens: predicted loss {prediction.loss:.4f} "
            f"({INTERVAL:.0%} interval {prediction.low:.4f} to {prediction.high:.4f})"
        )
        if not self.trained:
            return f"{sentence}; not trained yet"
        side = "within" if prediction.low <= self.target.loss <= prediction.high else "outside"
        return f"{sentence}; actual loss {self.target.loss:.4f}, {side} the interval; prediction error {self.error:+.2%}"

    def reliability(self) -> str:
        """How well the runs fit the law, and a remedy if they do not."""
        sentence = f"the runs deviate from the law by {self.fit.deviation:.2%} (standard deviation)"
        if self.fit.deviation <= MAX_RELIABLE_DEVIATION:
            return sentence
        return (
            f"{sentence}, so do not rely on it: short runs and very small models do not follow a power law; "
            "raise --tokens-per-parameter, or leave out the smallest of --depths"
        )


def interval(values: Floats) -> tuple[float, float]:
    """The ends of the middle share `INTERVAL` of the values."""
    low, high = np.quantile(values, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return float(low), float(high)


def fit_scaling_law(points: Sequence[Point]) -> Fit:
    """Minimize the sum of Huber losses between the logarithms of law and points (arXiv 2203.15556, section 3.3).

    The interval comes from a parametric bootstrap: N and D of the runs are kept, and their errors are replaced by normal
    ones of the same deviation. Resampled errors would give too narrow an interval, since the nearly absolute loss makes
    the law pass through five of the points; resampled runs would often have only two sizes.
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
    """A grid over both exponents and E as a share of the lowest loss, (S, 5); both terms share the remainder."""
    values = (0.1, 0.2, 0.4, 0.8, 1.6)
    grid = []
    for share in (0.1, 0.5, 0.9):
        e, term = lowest + math.log(share), lowest + math.log((1 - share) / 2)
        grid += [(e, term, math.log(alpha), term, math.log(beta)) for alpha in values for beta in values]
    return np.array(grid)


def _best(starts: Floats, n_P: Floats, d_P: Floats, loss_RP: Floats) -> Floats:
    """The best fit of each row of losses over all starts, (R, 5)."""
    R, S = len(loss_RP), len(starts)
    theta, value = _minimize(np.tile(starts, (R, 1)), n_P, d_P, loss_RP.repeat(S, 0))
    chosen = value.reshape(R, S).argmin(1)
    best: Floats = theta.reshape(R, S, UNKNOWNS)[np.arange(R), chosen]
    return best


def _minimize(theta: Floats, n_P: Floats, d_P: Floats, loss_RP: Floats) -> tuple[Floats, Floats]:
    """Levenberg-Marquardt with Huber weights on each row; returns the unknowns (R, 5) and the sums of losses (R,)."""
    theta = np.clip(theta, MIN_UNKNOWNS, MAX_UNKNOWNS)
    damping = np.full(len(theta), 1e-2)
    value = _huber(loss_RP - _log_loss(theta, n_P, d_P)).sum(1)
    for _ in range(ITERATIONS):
        error_RP = loss_RP - _log_loss(theta, n_P, d_P)
        weight_RP = HUBER_DELTA / np.maximum(np.abs(error_RP), HUBER_DELTA)
        slope_RP5 = _slopes(theta, n_P, d_P)
        weighted = slope_RP5 * weight_RP[..., None]
        normal = np.einsum("rpi,rpj->rij", weighted, slope_RP5)
        diagonal = np.einsum("rii->ri", normal)
        normal = normal + (damping[:, None] * diagonal + 1e-12)[:, None] * np.eye(UNKNOWNS)
        gradient = np.einsum("rpi,rp->ri", weighted, error_RP)
        candidate = np.clip(theta + np.linalg.solve(normal, gradient[..., None])[..., 0], MIN_UNKNOWNS, MAX_UNKNOWNS)
        candidate_value = _huber(loss_RP - _log_loss(candidate, n_P, d_P)).sum(1)
        better = candidate_value < value
        theta[better], value[better] = candidate[better], candidate_value[better]
        damping = np.clip(np.where(better, damping / 3, damping * 4), 1e-9, 1e9)
    return theta, value


def _terms(theta: Floats, n_P: Floats, d_P: Floats) -> Floats:
    """The logarithms of the three terms, (R, 3, P)."""
    e, a, log_alpha, b, log_beta = np.atleast_2d(theta).T[..., None]
    return np.stack([e + 0 * n_P, a - np.exp(log_alpha) * n_P, b - np.exp(log_beta) * d_P], 1)


def _log_loss(theta: Floats, n_P: Floats, d_P: Floats) -> Floats:
    """The logarithm of the law's losses, (R, P)."""
    total: Floats = np.logaddexp.reduce(_terms(theta, n_P, d_P), axis=1)
    return total


def _slopes(theta: Floats, n_P: Floats, d_P: Floats) -> Floats:
    """Derivatives of the log loss by each unknown, (R, P, 5)."""
    terms = _terms(theta, n_P, d_P)
    share_E, share_A, share_B = np.exp(terms - np.logaddexp.reduce(terms, axis=1, keepdims=True)).transpose(1, 0, 2)
    alpha, beta = np.exp(theta[:, 2:3]), np.exp(theta[:, 4:5])
    return np.stack([share_E, share_A, -share_A * alpha * n_P, share_B, -share_B * beta * d_P], 2)


def _huber(error: Floats) -> Floats:
    size = np.abs(error)
    loss: Floats = np.where(size <= HUBER_DELTA, error**2 / 2, HUBER_DELTA * (size - HUBER_DELTA / 2))
    return loss
