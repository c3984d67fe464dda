"""Measures what a private step does: how far a unit moves the gradient, how much noise there is, how often units are drawn.

The step is the trainer's own. Its parts are replaced one at a time, so each is measured through the same code that trains:
two steps that differ in one unit and have the same noise differ by that unit's part of the gradient; a step less the same
step without noise is the noise.

Shapes: N numbers of all weights, U units.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from math import sqrt
from time import monotonic
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX, Int64, Sample
from lmcraft.statistics.distributions import NORMAL
from lmcraft.statistics.intervals import Metric
from lmcraft.statistics.proportions import wilson
from lmcraft.training.batch import TensorBatch, to_device
from lmcraft.training.dp.clipping import ClippedRows, GhostClipper
from lmcraft.training.dp.gradients import PrivateGradients
from lmcraft.training.dp.units import Units, stack_rows

LEVEL = 1e-4  # probability that a right part fails a check
Z = NORMAL.inv_cdf(1 - LEVEL / 2)
SENSITIVITY_TOLERANCE = 1e-3  # by which rounding may make a unit's part of the gradient longer than the limit
FIRST_STEP = 1 << 40  # of the measurements: no run has these steps
NOISE_STEPS = 4
PLANTED_UNITS = 12  # from the data, besides those that are made
MIN_STEPS = 20  # for a test of the draws
MADE_ROWS = 2  # units of the data that two made rows follow each
COMPANIONS = 4  # units of a step that a planted one joins


class NoNoise:
    """Noise of size 0."""

    def add(self, step: int) -> None:
        """Leave the gradients as they are."""


@dataclass(frozen=True)
class FixedDraw:
    """Draws the same units in each step."""

    units: Sequence[int]

    def draw(self, step: int) -> Int64:
        """The numbers of the units."""
        return np.array(self.units, np.int64)


@dataclass
class CountedRows:
    """A clipper that only counts rows."""

    count: int = 0

    def add_clipped(self, batch: TensorBatch) -> ClippedRows:
        """Count the rows that have a target."""
        self.count += int((batch.targets != IGNORE_INDEX).any(dim=1).sum())
        nothing = torch.zeros(len(batch.targets))
        return ClippedRows(nothing, nothing, torch.zeros(()))


@dataclass
class PlantedUnits:
    """The units of a run, and more units after them."""

    inner: Units
    planted: Sequence[Sample]

    @property
    def sequence_length(self) -> int:
        """Tokens of a row at most."""
        return self.inner.sequence_length

    @property
    def mean_length(self) -> float:
        """Of the rows of the run's units."""
        return self.inner.mean_length

    def __len__(self) -> int:
        return len(self.inner) + len(self.planted)

    def row(self, number: int, draw: int) -> Sample:
        """The row of a unit."""
        size = len(self.inner)
        return self.planted[number - size] if number >= size else self.inner.row(number, draw)


@contextmanager
def replaced(source: PrivateGradients, **parts: Any) -> Iterator[None]:
    """Put other parts into a private step for a while."""
    before = {name: getattr(source, name) for name in parts}
    vars(source).update(parts)
    try:
        yield
    finally:
        vars(source).update(before)


def step_sum(source: PrivateGradients, step: int) -> Tensor:
    """The sum of a step's clipped gradients and its noise, as a multiple of the norm limit, (N,) in float64."""
    source.compute(step)
    scale = source.mechanism.batch_size / source.mechanism.max_grad_norm
    parts = []
    for weight in source.weights.values():
        assert weight.grad is not None
        parts.append(weight.grad.detach().double().flatten().cpu())
    return torch.cat(parts) * scale


@dataclass(frozen=True)
class Sensitivity:
    """How far one unit moves the sum of a step, as a multiple of the norm limit."""

    largest: float
    count: int
    """Of the units that were planted."""
    clipped: int
    """Of those whose gradient is longer than the limit, by a backward pass of their own."""

    @property
    def passed(self) -> bool:
        return self.largest <= 1 + SENSITIVITY_TOLERANCE


def measure_sensitivity(source: PrivateGradients, seed: int = 0) -> Sensitivity:
    """Plant units in a step, alone and beside others.

    If too few of them are longer than the limit to test the clipping, they are planted with a lower limit as well.
    """
    rng = np.random.default_rng(seed)
    size, made = len(source.units), made_rows(source, rng)
    chosen = rng.choice(size, min(PLANTED_UNITS, size), replace=False).tolist()
    with replaced(source, units=PlantedUnits(source.units, made), noise=NoNoise()):
        numbers = [*chosen, *range(size, size + len(made))]
        norms = [_true_norm(source, number) for number in numbers]
        limit = source.mechanism.max_grad_norm
        largest = _largest_part(source, numbers, rng)
        clipped = sum(norm > limit for norm in norms)
        if clipped < len(numbers) / 2 and isinstance(source.clipper, GhostClipper):
            lower = float(np.median(norms)) / 2
            clipper = type(source.clipper)(source.model, source.clipper.objective, lower)
            with replaced(source, clipper=clipper):
                largest = max(largest, _largest_part(source, numbers, rng) * limit / lower)
            clipped = sum(norm > lower for norm in norms)
    return Sensitivity(largest, len(numbers), clipped)


def made_rows(source: PrivateGradients, rng: np.random.Generator) -> list[Sample]:
    """Rows that no data have: those of units with one token again and again, or with random ones, in place of theirs."""
    vocab_size, rows = source.model.config.vocab_size, []
    for number in rng.integers(len(source.units), size=MADE_ROWS).tolist():
        row = source.units.row(number, 0)
        one, length = int(rng.integers(vocab_size)), len(row.input_ids)
        for ids in (np.full(length, one), rng.integers(vocab_size, size=length)):
            rows.append(replace(row, input_ids=ids.astype(np.int64)))
    return rows


def _largest_part(source: PrivateGradients, numbers: Sequence[int], rng: np.random.Generator) -> float:
    """The largest norm of the difference that one of the units makes, to an empty step and to one of other units."""
    companions = rng.integers(len(source.units), size=COMPANIONS).tolist()
    largest = 0.0
    for others in (companions[:0], companions):
        without = _sum_of(source, others)
        largest = max(largest, *(float((_sum_of(source, [*others, number]) - without).norm()) for number in numbers))
    return largest


def _sum_of(source: PrivateGradients, numbers: Sequence[int]) -> Tensor:
    with replaced(source, sampler=FixedDraw(numbers)):
        return step_sum(source, FIRST_STEP)


def _true_norm(source: PrivateGradients, number: int) -> float:
    """The norm of the gradient of a unit's mean loss, by a backward pass without any clipping."""
    assert isinstance(source.clipper, GhostClipper)
    row = source.units.row(number, 0)
    batch = to_device(stack_rows([row], len(row.input_ids)), source.model.device)
    for weight in source.weights.values():
        weight.grad = None
    loss = source.clipper.objective.loss(source.model, batch) / max(1, int((batch.targets != IGNORE_INDEX).sum()))
    loss.backward()  # type: ignore[no-untyped-call]
    squares = [weight.grad.double().square().sum() for weight in source.weights.values() if weight.grad is not None]
    return float(torch.stack(squares).sum().sqrt())


@dataclass(frozen=True)
class NoiseMeasurement:
    """The noise of steps, as a multiple of the norm limit."""

    std: Metric
    """Over all numbers of all steps."""
    least: float
    """An upper end for the standard deviation of the weight that has the least noise."""
    weight: str
    """Its name."""
    is_independent: bool
    """Whether steps, weights and secrets have noise of their own."""
    numbers: int


def measure_noise(source: PrivateGradients, steps: int = NOISE_STEPS) -> NoiseMeasurement:
    """Measure the noise of a few steps with the units that they draw."""
    sizes = [weight.numel() for weight in source.weights.values()]
    squares, vectors = np.zeros(len(sizes)), []
    for step in range(FIRST_STEP, FIRST_STEP + steps):
        with replaced(source, noise=NoNoise()):
            without = step_sum(source, step)
        noise = step_sum(source, step) - without
        squares += [float(part.square().sum()) for part in torch.split(noise, sizes)]
        vectors.append(noise)
    counts = steps * np.array(sizes)
    total = int(counts.sum())
    std = sqrt(squares.sum() / total)
    half = Z * std / sqrt(2 * total)
    ends = np.sqrt(squares / counts) * (1 + NORMAL.inv_cdf(1 - LEVEL / len(sizes)) / np.sqrt(2 * counts))
    lowest = int(np.argmin(ends))
    independent = _are_uncorrelated(vectors) and all(_are_uncorrelated(_equal_parts(vector, sizes)) for vector in vectors)
    return NoiseMeasurement(
        Metric(std, std - half, std + half), float(ends[lowest]), list(source.weights)[lowest], independent, total
    )


def _equal_parts(vector: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """The parts of the most frequent size."""
    size = max(set(sizes), key=sizes.count)
    return [part for part in torch.split(vector, list(sizes)) if len(part) == size]


def _are_uncorrelated(vectors: Sequence[Tensor]) -> bool:
    """Whether neighboring vectors correlate no more than independent ones would."""
    for first, second in pairwise(vectors):
        norms = float(first.norm() * second.norm())
        if norms and abs(float(first @ second)) / norms > (Z + 2) / sqrt(len(first)):
            return False
    return True


@dataclass(frozen=True)
class SamplingMeasurement:
    """Which units steps draw."""

    rate: Metric
    """Probability that a unit is in a step."""
    most_drawn: float
    """A lower end for the rate of the unit that was drawn most often."""
    is_poisson: bool
    """Whether the sizes of batches vary, and steps repeat units, as with independent draws."""
    reads_draws: bool
    """Whether the units that a step draws are those whose gradients it computes, each once."""
    steps: int


def measure_sampling(source: PrivateGradients, max_steps: int, seconds: float) -> SamplingMeasurement:
    """Count how often each unit is drawn in many steps, and whether the rows that reach the clipper are as many."""
    size = source.mechanism.units
    counts, repeats = np.zeros(size, np.int64), 0
    sizes: list[int] = []
    before, begin = np.empty(0, np.int64), monotonic()
    for step in range(FIRST_STEP, FIRST_STEP + max_steps):
        if sizes and monotonic() - begin > seconds:
            break
        drawn = source.sampler.draw(step)
        np.add.at(counts, drawn, 1)
        sizes.append(len(drawn))
        repeats += len(np.intersect1d(before, drawn))
        before = drawn
    steps, total = len(sizes), sum(sizes)
    rate = wilson(total, steps * size, Z)
    most = wilson(int(counts.max()), steps, NORMAL.inv_cdf(1 - LEVEL / size)).low
    assert most is not None
    return SamplingMeasurement(rate, most, _is_poisson(sizes, repeats, size), _reads_draws(source), steps)


def _is_poisson(sizes: Sequence[int], repeats: int, units: int) -> bool:
    """Whether batches vary in size, and steps in a row share units, as with independent draws."""
    steps, rate = len(sizes), sum(sizes) / (len(sizes) * units)
    if steps < MIN_STEPS or not 0 < rate < 1:
        return True  # too little to tell
    dispersion = float(np.var(sizes)) * steps / (units * rate * (1 - rate))
    expected = (steps - 1) * units * rate**2
    is_varied = abs(dispersion - (steps - 1)) <= (Z + 1) * sqrt(2 * (steps - 1))
    return is_varied and abs(repeats - expected) <= (Z + 1) * sqrt(expected * (1 + 4 * rate * units * rate) + 1)


def _reads_draws(source: PrivateGradients) -> bool:
    """Whether as many rows reach the clipper as units are drawn; a unit without a target has no row."""
    for step in range(FIRST_STEP, FIRST_STEP + NOISE_STEPS):
        counter = CountedRows()
        with replaced(source, clipper=counter, noise=NoNoise()):
            source.compute(step)
        if counter.count > len(source.sampler.draw(step)):
            return False
    return True
