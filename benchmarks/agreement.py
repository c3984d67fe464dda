"""Agreement and rater reliability: speed against the package krippendorff, and how often intervals and findings are right.

python benchmarks/agreement.py [--samples 200] [--skip-store]

Prints the tables of benchmarks/agreement.md. Needs NumPy and krippendorff; the last table needs SQLAlchemy.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import krippendorff
import numpy as np

from lmcraft.statistics.agreement import count_codes, krippendorff_alpha
from lmcraft.statistics.dawid_skene import dawid_skene

SCENARIOS = {
    "5 raters, 3 votes per item, 3 labels": ([0.95, 0.9, 0.8, 0.6, 0.5], 3, 3),
    "4 raters, 2 votes per item, 2 labels": ([0.95, 0.9, 0.8, 0.6], 2, 2),
    "8 raters, 2 votes per item, 2 labels": ([0.95, 0.95, 0.9, 0.9, 0.85, 0.85, 0.8, 0.7], 2, 2),
}


def seconds(function: Callable[[], object], repeats: int = 5) -> float:
    """The least processor time of several calls."""
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        function()
        times.append(time.process_time() - begin)
    return min(times)


def simulate(
    rng: np.random.Generator, num_items: int, accuracies: Sequence[float], votes: int, num_labels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Truth, (items,), and item, rater and label of each vote; raters err uniformly."""
    truth = rng.integers(0, num_labels, num_items)
    raters = np.argsort(rng.random((num_items, len(accuracies))), axis=1)[:, :votes].ravel()
    items = np.repeat(np.arange(num_items), votes)
    right = rng.random(len(items)) < np.array(accuracies)[raters]
    labels = np.where(right, truth[items], (truth[items] + rng.integers(1, num_labels, len(items))) % num_labels)
    return truth, items, raters, labels


def alpha_table() -> None:
    """Krippendorff's alpha of two raters and three labels, with our interval, against the package's number."""
    print("| items | level | krippendorff | lmcraft, with its interval | difference |\n|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for num_items in (1_000, 10_000, 100_000):
        _, items, _, labels = simulate(rng, num_items, [0.9] * 4, 2, 3)
        counts = count_codes(items, labels, num_items, 3)
        for level in ("nominal", "ordinal"):
            alpha = krippendorff_alpha(counts, level=level)
            peer = krippendorff.alpha(value_counts=counts, level_of_measurement=level)
            ours = seconds(lambda counts=counts, level=level: krippendorff_alpha(counts, level=level))
            theirs = seconds(lambda c=counts, m=level: krippendorff.alpha(value_counts=c, level_of_measurement=m))
            times = f"{1000 * theirs:.0f} ms | {1000 * ours:.0f} ms"
            print(f"| {num_items:,} | {level} | {times} | {abs(alpha.value - peer):.0e} |")


def coverage_table(samples: int) -> None:
    """How often the intervals of the raters' accuracies hold the true ones, and labels against a majority vote."""
    print("\n| raters | items | coverage | error of the accuracy | labels: majority | labels: Dawid-Skene |")
    print("|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for name, (accuracies, votes, num_labels) in SCENARIOS.items():
        for num_items in (100, 300, 2_000):
            covered, errors, majority, model = [], [], [], []
            for _ in range(samples):
                truth, items, raters, labels = simulate(rng, num_items, accuracies, votes, num_labels)
                sizes = {"num_items": num_items, "num_raters": len(accuracies), "num_labels": num_labels}
                estimate = dawid_skene(items, raters, labels, **sizes)
                for metric, accuracy in zip(estimate.accuracy, accuracies, strict=True):
                    covered.append(metric.low <= accuracy <= metric.high)
                    errors.append(abs(metric.value - accuracy))
                counts = count_codes(items, labels, num_items, num_labels) + rng.random((num_items, num_labels)) / 2
                majority.append((counts.argmax(1) == truth).mean())
                model.append((estimate.posterior.argmax(1) == truth).mean())
            print(
                f"| {name} | {num_items:,} | {np.mean(covered):.1%} | {np.mean(errors):.3f} "
                f"| {np.mean(majority):.1%} | {np.mean(model):.1%} |"
            )


def store_table() -> None:
    """The report on 100,000 items of a store in SQLite."""
    from lmcraft.annotation.agreement import report as agreement
    from lmcraft.annotation.guidelines.guideline_file import open_guideline
    from lmcraft.annotation.records import NewItem
    from lmcraft.annotation.store import ReviewStore
    from tests.annotation.bulk import add_votes

    print("\n| items | votes | reviewers | cold | again |\n|---|---|---|---|---|")
    guideline = open_guideline("harm")
    names, rules = [label.name for label in guideline.labels], [rule.id for rule in guideline.rules]
    for num_items, num_reviewers in ((10_000, 8), (100_000, 8), (100_000, 40)):
        with tempfile.TemporaryDirectory() as folder:
            store = ReviewStore.open(Path(folder) / "reviews.sqlite")
            store.add_guideline(guideline, "owner")
            ids: list[str] = []
            for start in range(0, num_items, 5_000):
                new = [
                    NewItem(guideline=guideline.name, answers=[f"answer {number}"], source="file")
                    for number in range(start, start + 5_000)
                ]
                ids += store.add(new, "owner").ids
            rng = np.random.default_rng(0)
            _, items, raters, labels = simulate(rng, num_items, [0.9] * num_reviewers, 2, len(names))
            cited = np.where(rng.random(len(items)) < 0.9, labels % len(rules), rng.integers(0, len(rules), len(items)))
            votes = zip(items.tolist(), raters.tolist(), labels.tolist(), cited.tolist(), strict=True)
            add_votes(store, ((ids[i], f"reviewer {r}", names[label], rules[rule]) for i, r, label, rule in votes))

            def report(store: ReviewStore = store) -> object:
                return agreement.agreement_report(store, guideline.name)

            cold = []
            for _ in range(3):
                agreement._reports.clear()
                cold.append(seconds(report, 1))
            print(f"| {num_items:,} | {len(items):,} | {num_reviewers} | {min(cold):.2f} s | {seconds(report):.4f} s |")
            store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--skip-store", action="store_true")
    arguments = parser.parse_args()
    alpha_table()
    coverage_table(arguments.samples)
    if not arguments.skip_store:
        store_table()
