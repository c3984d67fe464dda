"""Agreement of people who judge the same items, beyond chance, with bootstrap intervals over the items.

| coefficient | raters | votes per item | labels |
|---|---|---|---|
| `percent_agreement` | any | any | nominal; not corrected for chance |
| `cohen_kappa` | two, the same two on all items | two | nominal; with weights, ordinal or interval |
| `fleiss_kappa` | any, interchangeable | the same number on all items | nominal |
| `krippendorff_alpha` | any, interchangeable | any, at least two | nominal, ordinal, interval or ratio |

All are None if nothing tells them: no item has two votes, or all votes have one label, which leaves nothing to agree on
by chance or not. Items with fewer than two votes do not count.

Most functions take `counts`, (items, values): how many raters gave each item each value.
"""

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lmcraft.statistics.bootstrap import StatisticOfSums, bootstrap_sums
from lmcraft.statistics.intervals import Floats, Metric

Level = Literal["nominal", "ordinal", "interval", "ratio"]
Weights = Literal["none", "linear", "quadratic"]
Codes = NDArray[np.int64]

MISSING = -1  # in codes: the rater did not judge the item
MAX_KEY = 2**62


def count_ratings(ratings: ArrayLike) -> tuple[Codes, Floats]:
    """How many raters gave each item each value, and the values in ascending order, (items, values) and (values,).

    Args:
        ratings: Of each rater and item, (raters, items); NaN where the rater did not judge the item.

    Raises:
        ValueError: The ratings are not a matrix, or one is infinite.
    """
    matrix = np.asarray(ratings, dtype=np.float64)
    if matrix.ndim != 2 or np.isinf(matrix).any():
        raise ValueError(f"ratings of shape {matrix.shape} are not a matrix of finite numbers")
    values, codes = np.unique(matrix[~np.isnan(matrix)], return_inverse=True)
    items = np.nonzero(~np.isnan(matrix))[1]
    return count_codes(items, codes, matrix.shape[1], len(values)), values


def count_codes(items: ArrayLike, codes: ArrayLike, num_items: int, num_values: int) -> Codes:
    """How many votes have each item and value, (items, values), from the numbers of each vote's item and value, (votes,)."""
    cells = np.asarray(items, dtype=np.int64) * num_values + np.asarray(codes, dtype=np.int64)
    return np.bincount(cells, minlength=num_items * num_values).reshape(num_items, num_values)


def vote_pairs(items: ArrayLike) -> tuple[Codes, Codes]:
    """The indices of both votes of every pair of votes on the same item, (pairs,) each; `items` is each vote's, (votes,)."""
    items = np.asarray(items, dtype=np.int64)
    order = np.argsort(items, kind="stable")
    ordered = items[order]
    first: list[Codes] = [np.zeros(0, np.int64)]
    second: list[Codes] = [np.zeros(0, np.int64)]
    for distance in range(1, len(items)):
        starts = np.nonzero(ordered[:-distance] == ordered[distance:])[0]
        if not len(starts):
            break
        first.append(order[starts])
        second.append(order[starts + distance])
    return np.concatenate(first), np.concatenate(second)


def distinct_rows(rows: Codes) -> tuple[Codes, Codes, Codes]:
    """The distinct rows of a matrix of numbers >= 0, how often each occurs, and for each row which of them it is."""
    base = int(rows.max(initial=0)) + 1
    if base ** rows.shape[1] < MAX_KEY:  # sorting numbers is faster than sorting rows
        keys = rows @ np.array([base**column for column in range(rows.shape[1])], dtype=np.int64)
        _, first, kinds, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        return rows[first], counts, kinds
    distinct, kinds, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    return distinct, counts, kinds.reshape(-1)


def percent_agreement(counts: ArrayLike) -> Metric | None:
    """The share of pairs of votes on the same item that have the same value, from counts, (items, values)."""
    kinds, repeats = _kinds_with_pairs(counts)
    votes = kinds.sum(1)
    return _coefficient(
        np.stack([(kinds * (kinds - 1)).sum(1), votes * (votes - 1)], axis=1), repeats, lambda sums: sums[:, 0] / sums[:, 1]
    )


def cohen_kappa(first: ArrayLike, second: ArrayLike, num_values: int, weights: Weights = "none") -> Metric | None:
    """Cohen's kappa of two raters (Cohen 1960), or weighted by how far apart two values are (Cohen 1968).

    Args:
        first: The number of the first rater's value of each item, from 0 on, (items,); -1 where there is none.
        second: The second rater's.
        num_values: How many values there are, in their order if weights are used.
        weights: Of a disagreement: 1 for any (none), the distance (linear), or its square (quadratic).

    Raises:
        ValueError: The lengths differ, or a value or the weights are unknown.
    """
    if weights not in get_args(Weights):
        raise ValueError(f"weights {weights!r} are none of {', '.join(get_args(Weights))}")
    a, b = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"{a.shape} values of the first rater and {b.shape} of the second are not two lists of one length")
    pairs = np.stack([a, b], axis=1)[(a != MISSING) & (b != MISSING)]
    if len(pairs) and not 0 <= pairs.min() <= pairs.max() < num_values:
        raise ValueError(f"a value is outside 0 to {num_values - 1}")
    cells, repeats, _ = distinct_rows(pairs)
    distance = np.abs(np.subtract.outer(np.arange(num_values), np.arange(num_values))).astype(np.float64)
    costs = {"none": (distance > 0).astype(np.float64), "linear": distance, "quadratic": distance**2}[weights]
    one_hot = np.eye(num_values)
    features = np.column_stack([costs[cells[:, 0], cells[:, 1]], one_hot[cells[:, 0]], one_hot[cells[:, 1]]])

    def kappa(sums: Floats) -> Floats:
        observed, rows, columns = sums[:, 0], sums[:, 1 : 1 + num_values], sums[:, 1 + num_values :]
        kappas: Floats = 1 - observed * rows.sum(1) / ((rows @ costs) * columns).sum(1)
        return kappas

    return _coefficient(features, repeats, kappa)


def fleiss_kappa(counts: ArrayLike) -> Metric | None:
    """Fleiss' kappa (Fleiss 1971) of items that all have the same number of votes, from counts, (items, values).

    Raises:
        ValueError: Items differ in their number of votes; `krippendorff_alpha` takes them.
    """
    kinds, repeats = _kinds_with_pairs(counts)
    votes = kinds.sum(1)
    if len(set(votes.tolist())) > 1:
        raise ValueError(
            f"items have from {votes.min()} to {votes.max()} votes, and Fleiss' kappa needs as many on each; "
            "use krippendorff_alpha"
        )
    agreement = (kinds * (kinds - 1)).sum(1) / (votes * (votes - 1))  # P_i, eq. 2

    def kappa(sums: Floats) -> Floats:
        shares = sums[:, 2:] / sums[:, 2:].sum(1, keepdims=True)
        chance = (shares**2).sum(1)
        kappas: Floats = (sums[:, 0] / sums[:, 1] - chance) / (1 - chance)
        return kappas

    return _coefficient(np.column_stack([agreement, np.ones(len(kinds)), kinds]), repeats, kappa)


def krippendorff_alpha(counts: ArrayLike, values: ArrayLike | None = None, level: Level = "nominal") -> Metric | None:
    """Krippendorff's alpha (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"), from counts, (items, values).

    1 - (n - 1) sum o_ck d_ck / sum n_c n_k d_ck, with coincidences o, the numbers n_c of votes for each value, and
    differences d: 1 (nominal), the squared difference of mid-ranks (ordinal), of values (interval), or of values divided by
    their sum (ratio).

    Args:
        counts: How many raters gave each item each value, (items, values).
        values: The numbers, in ascending order, (values,); by default 0, 1, 2, ...
        level: The level of measurement.

    Raises:
        ValueError: The level is unknown, or the values are not ascending.
    """
    if level not in get_args(Level):
        raise ValueError(f"the level of measurement {level!r} is none of {', '.join(get_args(Level))}")
    kinds, repeats = _kinds_with_pairs(counts)
    numbers = np.asarray(range(kinds.shape[1]) if values is None else values, dtype=np.float64)
    if len(numbers) != kinds.shape[1] or (np.diff(numbers) <= 0).any():
        raise ValueError(f"{len(numbers)} values of {kinds.shape[1]} columns, or values that do not ascend")
    used = kinds.any(0)
    votes, numbers = kinds[:, used].astype(np.float64), numbers[used]
    if level == "ordinal":
        return _ordinal_alpha(votes, repeats)
    with np.errstate(all="ignore"):
        squares = _squared_differences(numbers, level)
        observed = ((votes @ squares) * votes).sum(1) / (votes.sum(1) - 1)

    def alpha(sums: Floats) -> Floats:
        totals = sums[:, 1:]
        expected = ((totals @ squares) * totals).sum(1)
        alphas: Floats = 1 - (totals.sum(1) - 1) * sums[:, 0] / expected
        return alphas

    return _coefficient(np.column_stack([observed, votes]), repeats, alpha)


def _squared_differences(numbers: Floats, level: Level) -> Floats:
    """(values, values)"""
    differences: Floats = np.subtract.outer(numbers, numbers)
    if level == "nominal":
        return np.asarray(differences != 0, dtype=np.float64)
    if level == "ratio":
        sums = np.add.outer(numbers, numbers)
        np.divide(differences, sums, out=differences, where=sums != 0)
        differences[sums == 0] = 0
    squares: Floats = differences**2
    return squares


def _ordinal_alpha(votes: Floats, repeats: Codes) -> Metric | None:
    """Alpha with differences of mid-ranks. They depend on the sample, so coincidences are summed."""
    first, second = np.triu_indices(votes.shape[1], 1)
    coincidences = votes[:, first] * votes[:, second] / (votes.sum(1, keepdims=True) - 1)
    num_values = votes.shape[1]

    def alpha(sums: Floats) -> Floats:
        totals = sums[:, :num_values]
        n = totals.sum(1)
        ranks = np.cumsum(totals, axis=1) - totals / 2  # their weighted mean is n / 2
        observed = 2 * (sums[:, num_values:] * (ranks[:, second] - ranks[:, first]) ** 2).sum(1)
        expected = 2 * n * (totals * (ranks - n[:, None] / 2) ** 2).sum(1)
        alphas: Floats = 1 - (n - 1) * observed / expected
        return alphas

    return _coefficient(np.column_stack([votes, coincidences]), repeats, alpha)


def _kinds_with_pairs(counts: ArrayLike) -> tuple[Codes, Codes]:
    """The distinct rows of counts that have at least two votes, and how many items have each."""
    matrix: NDArray[Any] = np.asarray(counts)
    if matrix.ndim != 2 or (matrix < 0).any() or (matrix != np.floor(matrix)).any():
        raise ValueError(f"counts of shape {matrix.shape} are not a matrix of whole numbers from 0 on")
    matrix = matrix.astype(np.int64)
    kinds, repeats, _ = distinct_rows(matrix[matrix.sum(1) > 1])
    return kinds, repeats


def _coefficient(features: Floats, repeats: Codes, statistic: StatisticOfSums) -> Metric | None:
    """None instead of NaN."""
    metric = bootstrap_sums(features, repeats, statistic)
    return None if np.isnan(metric.value) else metric
