"""Dawid and Skene's estimates: the paper's data, simulated raters, known items, and data that tell next to nothing."""

import numpy as np
import pytest

from lmcraft.statistics import dawid_skene as module
from lmcraft.statistics.dawid_skene import DawidSkene, dawid_skene

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

# Table 1 of the paper: classes of 45 patients by observer 1 (three times) and observers 2 to 5.
PATIENTS = (
    "1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 "
    "2322223 4444444 2223343 1111111 2223212 1211111 1112111 1111111 1111111 "
    "2222221 2221322 2222222 2222221 2223222 2212222 1111111 1111111 2322222 "
    "1111111 1111111 1121121 1111111 3333233 1111111 2222222 2223232 4334343 "
    "2212232 2323233 3333432 1111111 1111111 1212111 2322222 1211111 2222222 "
)
OBSERVERS = [0, 0, 0, 1, 2, 3, 4]


def estimate(items, raters, labels, num_items, num_raters, num_labels, true_labels=None) -> DawidSkene:
    return dawid_skene(
        items, raters, labels, num_items=num_items, num_raters=num_raters, num_labels=num_labels, true_labels=true_labels
    )


def plain_em(items, raters, labels, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Equations 2.3 to 2.5 as they stand."""
    num_items, num_raters, num_labels = shape
    counts = np.zeros((num_items, num_raters, num_labels))
    np.add.at(counts, (items, raters, labels), 1)
    posterior = counts.sum(1) / counts.sum((1, 2))[:, None]
    for _ in range(300):
        prior = posterior.mean(0)
        chosen = np.einsum("ik,irl->rkl", posterior, counts)
        confusion = chosen / chosen.sum(2, keepdims=True)
        joint = prior * np.prod(confusion[None] ** counts[:, :, None, :], axis=(1, 3))
        posterior = joint / joint.sum(1, keepdims=True)
    return posterior, prior, confusion


def simulate(rng, num_items: int, accuracies, num_labels: int, votes: int):
    """Truth and votes of raters who err uniformly; each item is judged by `votes` of them."""
    num_raters = len(accuracies)
    truth = rng.integers(0, num_labels, num_items)
    raters = np.argsort(rng.random((num_items, num_raters)), axis=1)[:, :votes].ravel()
    items = np.repeat(np.arange(num_items), votes)
    right = rng.random(len(items)) < np.array(accuracies)[raters]
    labels = np.where(right, truth[items], (truth[items] + rng.integers(1, num_labels, len(items))) % num_labels)
    return truth, (items, raters, labels)


def test_the_papers_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Table 2 of the paper: marginals of 0.40, 0.42, 0.11 and 0.07."""
    labels = np.array([[int(digit) - 1 for digit in patient] for patient in PATIENTS.split()]).ravel()
    votes = np.repeat(np.arange(45), 7), np.tile(OBSERVERS, 45), labels
    posterior, prior, confusion = plain_em(*votes, (45, 5, 4))
    assert prior == pytest.approx([0.40, 0.42, 0.11, 0.07], abs=0.006)
    smoothed = estimate(*votes, 45, 5, 4)
    assert smoothed.prior == pytest.approx(prior, abs=0.02)
    assert (smoothed.posterior.argmax(1) == posterior.argmax(1)).all()
    monkeypatch.setattr(module, "SHRINKAGE", 1e-6)
    almost_plain = estimate(*votes, 45, 5, 4)
    assert almost_plain.confusion == pytest.approx(confusion, abs=0.08)
    assert almost_plain.posterior == pytest.approx(posterior, abs=0.05)


def test_it_recovers_confusion_matrices_and_beats_the_majority() -> None:
    rng = np.random.default_rng(0)
    accuracies = [0.95, 0.9, 0.8, 0.6, 0.45]
    truth, votes = simulate(rng, 2000, accuracies, 3, 3)
    estimated = estimate(*votes, 2000, 5, 3)
    expected = [np.full((3, 3), (1 - a) / 2) + np.eye(3) * (a - (1 - a) / 2) for a in accuracies]
    assert estimated.confusion == pytest.approx(np.stack(expected), abs=0.08)  # 2.5 standard errors of 240 votes
    assert all(m.low - 0.02 <= a <= m.high + 0.02 for m, a in zip(estimated.accuracy, accuracies, strict=True))
    counts = np.zeros((2000, 3))
    np.add.at(counts, (votes[0], votes[2]), 1)
    majority = (counts + rng.random(counts.shape) / 2).argmax(1)
    assert (estimated.posterior.argmax(1) == truth).mean() > (majority == truth).mean() + 0.02


def test_the_intervals_of_the_accuracy_cover_it() -> None:
    rng, covered = np.random.default_rng(1), []
    for _ in range(25):
        _, votes = simulate(rng, 200, [0.95, 0.85, 0.7, 0.6], 2, 3)
        accuracy = estimate(*votes, 200, 4, 2).accuracy
        covered += [m.low <= a <= m.high for m, a in zip(accuracy, [0.95, 0.85, 0.7, 0.6], strict=True)]
    assert np.mean(covered) >= 0.86


def test_known_items_anchor() -> None:
    """Two raters who always differ: only known items tell which of them is right."""
    items, raters, labels = np.repeat(np.arange(60), 2), np.tile([0, 1], 60), np.tile([0, 1, 1, 0], 30)
    assert estimate(items, raters, labels, 60, 2, 2).accuracy == [None, None]
    true_labels = np.full(60, -1)
    true_labels[:12] = np.tile([0, 1], 6)  # what rater 0 says
    anchored = estimate(items, raters, labels, 60, 2, 2, true_labels)
    assert (anchored.posterior[:, 0] > 0.9).tolist() == [True, False] * 30
    assert (anchored.posterior[:12] == np.eye(2)[true_labels[:12]]).all()
    first, second = anchored.accuracy
    assert first.value > 0.9 and second.value < 0.1 and second.low < second.value < second.high
    unjudged = estimate([], [], [], 2, 1, 2, [1, -1])
    assert unjudged.posterior[0].tolist() == [0, 1] and unjudged.posterior[1].tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("items", "raters", "labels", "shape"),
    [
        ([], [], [], (0, 0, 1)),
        ([], [], [], (3, 2, 2)),
        ([0], [0], [0], (1, 1, 1)),
        ([0, 0, 0], [0, 1, 2], [0, 0, 0], (1, 3, 1)),
        ([0], [0], [1], (2, 4, 2)),
        ([0, 1, 2], [0, 1, 2], [0, 1, 0], (3, 3, 2)),
        (range(9), [0] * 9, [0] * 9, (9, 1, 2)),
        ([0] * 400, range(400), [0, 1] * 200, (1, 400, 2)),
    ],
    ids=["none", "no-votes", "one-vote", "one-label", "more-items", "no-overlap", "one-rater", "one-item"],
)
def test_little_data_does_not_blow_up(items, raters, labels, shape: tuple[int, int, int]) -> None:
    estimated = estimate(items, raters, labels, *shape)
    assert np.isfinite(estimated.posterior).all() and np.isfinite(estimated.confusion).all()
    assert estimated.posterior.sum(1) == pytest.approx(np.ones(shape[0]))
    assert estimated.confusion.sum(2) == pytest.approx(np.ones(shape[1:]))
    assert estimated.accuracy == [None] * shape[1]


def test_a_rater_with_few_votes_is_near_the_others_and_has_no_accuracy() -> None:
    truth, (items, raters, labels) = simulate(np.random.default_rng(2), 200, [0.9, 0.9, 0.9], 2, 3)
    items, raters, labels = np.append(items, 0), np.append(raters, 3), np.append(labels, 1 - truth[0])
    estimated = estimate(items, raters, labels, 200, 4, 2)
    assert estimated.accuracy[3] is None and estimated.accuracy[0] is not None
    assert 0.5 < estimated.confusion[3, truth[0], truth[0]] < 0.8
    assert np.diag(estimated.confusion[3])[1 - truth[0]] == pytest.approx(0.9, abs=0.06)


def test_the_order_of_votes_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    _, (items, raters, labels) = simulate(rng, 100, [0.9, 0.8, 0.7, 0.6], 3, 2)
    order = rng.permutation(len(items))
    first = estimate(items, raters, labels, 100, 4, 3)
    second = estimate(items[order], raters[order], labels[order], 100, 4, 3)
    assert first.posterior == pytest.approx(second.posterior) and first.accuracy == second.accuracy


@pytest.mark.parametrize(
    "votes",
    [([0], [0, 1], [0]), ([1], [0], [0]), ([0], [-1], [0]), ([0], [0], [2])],
    ids=["length", "item", "rater", "label"],
)
def test_a_wrong_call_is_an_error(votes) -> None:
    with pytest.raises(ValueError, match=r"differ in number|outside"):
        estimate(*votes, 1, 1, 2)
    with pytest.raises(ValueError, match="differ in number"):
        estimate([0], [0], [0], 1, 1, 2, [0, 0])
