"""How often the intervals of `lmcraft.statistics` cover the true value, and how often its tests detect a planted gain.

python benchmarks/intervals.py [--samples 10000]

Prints the tables of docs/lab-notes.md. Needs NumPy only.
"""

import argparse
from collections.abc import Callable
from functools import cache
from math import comb, exp, sqrt

import numpy as np

from lmcraft.statistics.bootstrap import bootstrap
from lmcraft.statistics.distributions import two_sided_p_value
from lmcraft.statistics.intervals import Metric, estimate_mean
from lmcraft.statistics.paired import mcnemar, minimum_detectable_effect, unpaired_proportions
from lmcraft.statistics.proportions import jeffreys, proportion, wilson

PROPORTIONS = np.linspace(0.05, 0.95, 1801)
ACCURACY, GAIN, ITEMS = 0.42, 0.03, 1000
DRAWS = {
    "normal": (0.0, lambda rng, items: rng.normal(size=items)),
    "exponential": (1.0, lambda rng, items: rng.exponential(size=items)),
    "log-normal, sigma 1": (exp(0.5), lambda rng, items: rng.lognormal(size=items)),
}
CLUSTERS = {
    "5 of 4 items": [4] * 5,
    "20 of 4": [4] * 20,
    "1, 2, 4, 8 and 16": [1, 2, 4, 8, 16],
    "10 of 1, 2 of 10": [1] * 10 + [10] * 2,
    "30 of 1, 3 of 20": [1] * 30 + [20] * 3,
}


def covers(metric: Metric, true: float) -> bool:
    """Whether the interval holds the true value."""
    return metric.low is not None and metric.high is not None and metric.low <= true <= metric.high


def proportion_table() -> None:
    """The exact coverage of three intervals of proportions."""
    print("| items | Wilson | Jeffreys | `proportion` |\n|---|---|---|---|")
    methods: tuple[Callable[[int, int], Metric], ...] = (wilson, jeffreys, proportion)
    for items in (5, 10, 30, 100, 300):
        cells = []
        for method in methods:
            intervals = [method(k, items) for k in range(items + 1)]
            coverages = np.zeros_like(PROPORTIONS)
            for k, metric in enumerate(intervals):
                inside = (metric.low <= PROPORTIONS) & (metric.high >= PROPORTIONS)
                coverages += comb(items, k) * PROPORTIONS**k * (1 - PROPORTIONS) ** (items - k) * inside
            cells.append(f"{coverages.min():.1%}, {coverages.mean():.1%}")
        print(f"| {items} | {' | '.join(cells)} |")


def mean_table(samples: int) -> None:
    """The coverage of the bootstrap and of Student's t for means of skewed numbers."""
    print(f"\n| items | {' | '.join(DRAWS)} |\n|---|---|---|---|")
    for items in (10, 30, 100):
        cells = []
        for true, draw in DRAWS.values():
            rng = np.random.default_rng(0)
            drawn = student = 0
            for _ in range(samples // 5):
                values = draw(rng, items)
                drawn += covers(bootstrap(values, lambda rows: rows.mean(1)), true)
                student += covers(estimate_mean(values).metric, true)
            cells.append(f"{drawn / (samples // 5):.1%}, {student / (samples // 5):.1%}")
        print(f"| {items} | {' | '.join(cells)} |")


def cluster_table(samples: int) -> None:
    """The coverage of means of clustered items, and of those that ignore the clusters."""
    correlations = (0.0, 0.3, 0.8)
    print(f"\n| clusters | {' | '.join(f'correlation {c}' for c in correlations)} |\n|---|---|---|---|")
    for name, sizes in CLUSTERS.items():
        codes, cells = np.repeat(np.arange(len(sizes)), sizes), []
        for correlation in correlations:
            rng = np.random.default_rng(0)
            covered = np.zeros(2)
            for _ in range(samples):
                shared = rng.normal(size=len(sizes))[codes]
                values = sqrt(correlation) * shared + sqrt(1 - correlation) * rng.normal(size=len(codes))
                for i, estimate in enumerate((estimate_mean(values, codes.tolist()), estimate_mean(values))):
                    covered[i] += two_sided_p_value(estimate.value / estimate.standard_error, estimate.degrees) >= 0.05
            cells.append("{:.1%}, {:.1%}".format(*(covered / samples)))
        print(f"| {name} | {' | '.join(cells)} |")


def gain_table(samples: int) -> None:
    """How often a gain of three points is detected, in pairs and not, for several correlations of the models' results."""
    print("\n| correlation | items that differ | paired | unpaired | smallest effect, paired |\n|---|---|---|---|---|")
    p, q, paired_p_value = ACCURACY, ACCURACY + GAIN, cache(mcnemar)
    for correlation in (0.0, 0.3, 0.5, 0.7, 0.8, 0.9):
        both = p * q + correlation * sqrt(p * (1 - p) * q * (1 - q))
        shares = [p - both, q - both, both, 1 - p - q + both]
        paired = unpaired = 0
        for only_first, only_second, common, _ in np.random.default_rng(0).multinomial(ITEMS, shares, samples).tolist():
            paired += paired_p_value(only_first, only_second) <= 0.05
            comparison = unpaired_proportions((only_first + common, only_second + common), (ITEMS, ITEMS))
            unpaired += comparison.p_value is not None and comparison.p_value <= 0.05
        effect = minimum_detectable_effect(sqrt(p * (1 - p)), ITEMS, correlation)
        differing = shares[0] + shares[1]
        print(f"| {correlation} | {differing:.1%} | {paired / samples:.1%} | {unpaired / samples:.1%} | {effect:.1%} |")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000, help="per cell; a fifth of it for the bootstrap")
    samples = parser.parse_args().samples
    proportion_table()
    mean_table(samples)
    cluster_table(samples)
    gain_table(samples)


if __name__ == "__main__":
    main()
