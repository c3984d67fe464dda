"""A lower bound on epsilon from one training run, whose canaries were each put into the data by a coin.

An attacker guesses coins from scores, most confident first. Under a guarantee it cannot be right much more often than the
guarantee allows, so the number of right guesses rejects every guarantee that is too strong. Two such tests:

- `epsilon_bound`: for (epsilon, delta), without further assumptions (Steinke, Nasr and Jagielski, arXiv 2305.08846, theorem
  5.2)
- `gaussian_bound`: for mechanisms whose trade-off curve is that of a Gaussian mechanism, to which DP-SGD comes close over
  many steps; tighter (Mahloujifar, Melis and Chaudhuri, arXiv 2410.22235, algorithm 3)

Shapes: N canaries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import erfc, exp, log, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lmcraft.statistics.distributions import NORMAL
from lmcraft.statistics.intervals import Floats

CONFIDENCE = 0.95
SHARES = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)  # of the canaries whose coins are guessed; each is a test of its own
MAX_EPSILON = 64.0
BISECTIONS = 40
SMALLEST = 1e-300  # keeps a logarithm finite


@dataclass(frozen=True)
class Guesses:
    """Guesses of coins."""

    canaries: int
    count: int
    """Coins that were guessed; of the others the attacker was not sure."""
    right: int


@dataclass(frozen=True)
class LowerBound:
    """A lower bound on epsilon."""

    epsilon: float
    """0 if nothing follows."""
    guesses: Guesses
    """Those that it follows from."""


def guess_coins(scores: ArrayLike, included: ArrayLike, count: int) -> Guesses:
    """Guess that the canaries with the highest scores are in the data, and those with the lowest are not.

    Args:
        scores: of the canaries, (N,).
        included: whether each is in the data, (N,).
        count: of the guesses; half of them say "in".
    """
    order = np.argsort(np.asarray(scores, np.float64), kind="stable")
    coins: NDArray[np.bool_] = np.asarray(included, np.bool_)[order]
    low, high = count // 2, count - count // 2
    return Guesses(len(coins), count, int(coins[len(coins) - high :].sum() + (~coins[:low]).sum()))


def audit_one_run(
    scores: ArrayLike, included: ArrayLike, delta: float, *, gaussian: bool = False, confidence: float = CONFIDENCE
) -> LowerBound:
    """The best lower bound on epsilon over several numbers of guesses, which holds with the confidence for all together.

    Args:
        scores: of the canaries, (N,), higher for those that seem to be in the data; they must not depend on the coins other
            than through the trained model.
        included: whether each canary is in the data, (N,), by a fair coin of its own.
        delta: of the guarantee.
        gaussian: assume the trade-off curve of a Gaussian mechanism.
        confidence: of the bound.
    """
    count = len(np.asarray(included))
    numbers = sorted({round(share * count) for share in SHARES} - {0, 1})
    if not numbers:
        return LowerBound(0.0, Guesses(count, 0, 0))
    level = (1 - confidence) / len(numbers)
    bound = gaussian_bound if gaussian else epsilon_bound
    bounds = []
    for number in numbers:
        guesses = guess_coins(scores, included, number)
        bounds.append(LowerBound(bound(guesses, delta, level), guesses))
    return max(bounds, key=lambda bound: bound.epsilon)


def epsilon_bound(guesses: Guesses, delta: float, level: float = 1 - CONFIDENCE) -> float:
    """The largest epsilon for which so many right guesses have at most probability `level` under (epsilon, delta)-DP."""
    return _largest_rejected(lambda epsilon: p_value(guesses, epsilon, delta) < level)


def p_value(guesses: Guesses, epsilon: float, delta: float) -> float:
    """The most that the probability of at least so many right guesses can be under (epsilon, delta)-DP (theorem 5.2)."""
    right_probability = 1 / (1 + exp(-epsilon))
    probabilities = _binomial_probabilities(guesses.count, right_probability)
    tail = float(probabilities[guesses.right :].sum())
    if not guesses.right or not delta:
        return min(1.0, tail)
    # max over i of P(right > X >= right - i) / i
    below = np.cumsum(probabilities[: guesses.right][::-1]) / np.arange(1, guesses.right + 1)
    return min(1.0, tail + 2 * guesses.canaries * delta * float(below.max()))


def gaussian_bound(guesses: Guesses, delta: float, level: float = 1 - CONFIDENCE) -> float:
    """The same for mechanisms whose trade-off curve is that of N(0, 1) and N(mu, 1): their largest mu, as an epsilon."""
    largest = _largest_rejected(partial(_rejects_gaussian, guesses, level))
    return gaussian_epsilon(largest, delta) if largest else 0.0


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The epsilon of a Gaussian mechanism with sensitivity / noise = mu, at a delta (Balle and Wang, arXiv 1805.06530)."""

    def delta_at(epsilon: float) -> float:
        shift = epsilon / mu
        return _normal_tail(shift - mu / 2) - exp(min(epsilon, 700.0)) * _normal_tail(shift + mu / 2)

    if mu <= 0 or delta_at(0.0) <= delta:
        return 0.0
    return _largest_rejected(lambda epsilon: delta_at(epsilon) > delta, 700.0)


def _rejects_gaussian(guesses: Guesses, level: float, mu: float) -> bool:
    """Whether so many right guesses have at most probability `level` for a mu (algorithm 3, for two possible answers)."""
    if guesses.right == guesses.count:  # the recursion divides by the number of wrong guesses
        return _rejects_perfect(guesses, level, mu)
    share, rest = guesses.right / guesses.canaries, (guesses.count - guesses.right) / guesses.canaries
    right, wrong = level * share, level * rest
    for number in range(guesses.right - 1, -1, -1):
        before, wrong = wrong, _least_false_positives(right, mu)
        right += number / (guesses.count - number) * (wrong - before)
    return right + wrong >= guesses.count / guesses.canaries


def _rejects_perfect(guesses: Guesses, level: float, mu: float) -> bool:
    """For guesses that are all right: one wrong guess less is at least as likely, so its test is the weaker one."""
    return _rejects_gaussian(Guesses(guesses.canaries, guesses.count, guesses.right - 1), level, mu)


def _least_false_positives(true_positives: float, mu: float) -> float:
    """The false positive rate that a test of N(0, 1) against N(mu, 1) needs for a true positive rate."""
    if true_positives <= 0:
        return 0.0
    return 1.0 if true_positives >= 1 else _normal_tail(-(NORMAL.inv_cdf(true_positives) - mu))


def _normal_tail(z: float) -> float:
    """P(Z > z) of the normal distribution."""
    return erfc(z / sqrt(2)) / 2


def _largest_rejected(rejects: Callable[[float], bool], largest: float = MAX_EPSILON) -> float:
    """The largest number that is rejected, of those from 0 on of which all below a rejected one are rejected, too."""
    low, high = 0.0, largest
    if not rejects(low):
        return 0.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if rejects(middle) else (low, middle)
    return low


def _binomial_probabilities(trials: int, p: float) -> Floats:
    """P(X = i) of a binomial distribution for i = 0 to `trials`."""
    numbers = np.arange(1, trials + 1)
    chosen = np.concatenate([[0.0], np.cumsum(np.log((trials - numbers + 1) / numbers))])
    i = np.arange(trials + 1)
    logs = chosen + i * log(max(p, SMALLEST)) + (trials - i) * log(max(1 - p, SMALLEST))
    probabilities: Floats = np.exp(logs)
    return probabilities
