"""Many comparisons at once: adjusted p-values, and the models that are tied with each model."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import TypeVar

from lmcraft.statistics.paired import Comparison

Results = TypeVar("Results")

MAX_FALSE_DISCOVERY_RATE = 0.05


def adjusted_p_values(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted for their number by Benjamini and Hochberg (1995, eq. 1).

    Of the hypotheses whose adjusted p-value is at most q, a share of at most q is expected to be true, if the tests are
    independent or positively dependent. A comparison without a p-value, None or NaN, stays None and does not count.

    Raises:
        ValueError: A p-value is outside [0, 1].
    """
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None and p == p)
    adjusted: list[float | None] = [None] * len(p_values)
    smallest = 1.0
    for rank, (p, index) in reversed(list(enumerate(tested, 1))):
        if not 0 <= p <= 1:
            raise ValueError(f"a p-value of {p} is outside [0, 1]")
        adjusted[index] = smallest = min(smallest, p * len(tested) / rank)
    return adjusted


def tied_with(
    results: Mapping[str, Results],
    compare: Callable[[Results, Results], Comparison],
    rate: float = MAX_FALSE_DISCOVERY_RATE,
) -> dict[str, list[str]]:
    """For each model, the others that the items do not tell apart from it, in the order of the models.

    All pairs are compared, and their p-values adjusted together.

    Args:
        results: By the name of the model, what `compare` takes, such as the numbers of all items in the same order.
        compare: A paired test, such as `compare_paired`.
        rate: The expected share of differences that are none, among those that are reported.
    """
    pairs = list(combinations(results, 2))
    p_values = adjusted_p_values([compare(results[first], results[second]).p_value for first, second in pairs])
    return tied_sets(list(results), dict(zip(pairs, p_values, strict=True)), rate)


def tied_sets(
    names: Sequence[str],
    p_values: Mapping[tuple[str, str], float | None],
    rate: float = MAX_FALSE_DISCOVERY_RATE,
) -> dict[str, list[str]]:
    """For each model, the others from which it does not differ, in the order of the models.

    Ranks would turn noise into an order. Being tied is not transitive: A can be tied with B, and B with C, while A and C
    differ. A pair without a p-value is tied.

    Args:
        names: The models.
        p_values: The adjusted p-value of each pair of them, in either order.
        rate: As in `tied_with`.
    """
    ties = {frozenset(pair) for pair, p in p_values.items() if p is None or p > rate}
    return {model: [other for other in names if frozenset((model, other)) in ties] for model in names}
