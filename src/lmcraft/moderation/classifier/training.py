"""Trains a linear classifier: logistic regression by Adagrad, in NumPy, the same bytes from the same rows.

Shapes: N segments, F features of all segments, K categories.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lmcraft.moderation.classifier.features import extract
from lmcraft.moderation.classifier.linear import Floats, sigmoid

HARM_BITS, CATEGORY_BITS = 20, 15
BATCH_SEGMENTS = 512
ROUNDING = 127  # largest weight
MIN_STEP_DIVISOR = 1e-8


@dataclass(frozen=True)
class Fit:
    """How a table is fitted."""

    epochs: int
    step: float
    """Adagrad's."""
    decay: float
    """L2: the square of the weights, per segment."""


HARM_FIT = Fit(epochs=3, step=0.3, decay=1e-6)
CATEGORY_FIT = Fit(epochs=4, step=0.3, decay=1e-6)


@dataclass(frozen=True)
class Segments:
    """The features of many texts."""

    hashes: NDArray[np.uint32]
    """(F,)."""
    starts: NDArray[np.int64]
    """(N + 1,): where each segment begins in `hashes`."""
    texts: NDArray[np.int64]
    """(N,): the number of the text that each is of."""

    @classmethod
    def of(cls, texts: Sequence[str], report: Callable[[int, int], None] = lambda done, total: None) -> Self:
        """Extract the features of plain views."""
        hashes, sizes, numbers = [], [], []
        for number, text in enumerate(texts):
            for block in extract(text):
                for segment in range(len(block.spans)):
                    hashes.append(block.segment(segment))
                    sizes.append(len(hashes[-1]))
                    numbers.append(number)
            report(number + 1, len(texts))
        starts = np.append(0, np.cumsum(np.array(sizes, dtype=np.int64)))
        return cls(np.concatenate(hashes) if hashes else np.empty(0, np.uint32), starts, np.array(numbers, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, chosen_N: NDArray[np.bool_]) -> Self:
        """Some of the segments."""
        sizes = np.diff(self.starts)
        kept = np.append(0, np.cumsum(sizes[chosen_N]))
        return type(self)(self.hashes[np.repeat(chosen_N, sizes)], kept, self.texts[chosen_N])

    def batches(self, bits: int, order: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], "Batch"]]:
        """The segments in this order, some at a time, with their places in tables of 2^bits weights."""
        for first in range(0, len(order), BATCH_SEGMENTS):
            chosen = order[first : first + BATCH_SEGMENTS]
            sizes = self.starts[chosen + 1] - self.starts[chosen]
            ends = np.cumsum(sizes)
            places = np.arange(ends[-1]) + np.repeat(self.starts[chosen] - ends + sizes, sizes)
            yield chosen, Batch(self.hashes[places] >> np.uint32(32 - bits), ends - sizes, sizes)


@dataclass(frozen=True)
class Batch:
    """Places in the table of the features of some segments."""

    places: NDArray[np.uint32]
    firsts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def sums(self, weights: Floats) -> Floats:
        """The sum of weights of each segment over the square root of their number."""
        sums: Floats = np.add.reduceat(weights[self.places], self.firsts) / np.sqrt(self.sizes)
        return sums

    def gradient(self, errors: Floats, size: int) -> Floats:
        """The gradient of all weights, for the derivative of each segment's loss."""
        gradient: Floats = np.bincount(
            self.places, np.repeat(errors / np.sqrt(self.sizes), self.sizes), minlength=size
        ).astype(np.float64, copy=False)
        return gradient


def fit_logistic(
    segments: Segments,
    targets_N: Floats,
    weights_N: Floats,
    bits: int,
    fit: Fit,
    seed: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Floats, float]:
    """Weights and bias that make the targets most likely.

    Args:
        segments: the features.
        targets_N: 0 to 1.
        weights_N: of each segment's loss.
        bits: the table has 2^bits weights.
        fit: how it is fitted.
        seed: of the order of segments.
        report: shows how many batches are done.
    """
    size = 1 << bits
    weights, squares, bias, bias_square = np.zeros(size), np.zeros(size), 0.0, 0.0
    rng = np.random.default_rng(seed)
    total, done = fit.epochs * -(-len(segments) // BATCH_SEGMENTS), 0
    for _ in range(fit.epochs):
        for chosen, batch in segments.batches(bits, rng.permutation(len(segments))):
            errors = (sigmoid(batch.sums(weights) + bias) - targets_N[chosen]) * weights_N[chosen]
            gradient = batch.gradient(errors, size) + fit.decay * weights * len(chosen)
            squares += gradient**2
            weights -= fit.step * gradient / (np.sqrt(squares) + MIN_STEP_DIVISOR)
            bias_gradient = float(errors.sum())
            bias_square += bias_gradient**2
            bias -= fit.step * bias_gradient / (np.sqrt(bias_square) + MIN_STEP_DIVISOR)
            done += 1
            report(done, total)
    return weights, bias


def quantize(weights: Floats) -> tuple[NDArray[np.int8], float]:
    """Weights as whole numbers of a scale. The largest 1 in 10,000 are clipped, which keeps the others fine."""
    limit = float(np.quantile(np.abs(weights[weights != 0]), 0.9999)) if weights.any() else 1.0
    scale = limit / ROUNDING
    return np.clip(np.rint(weights / scale), -ROUNDING, ROUNDING).astype(np.int8), scale
