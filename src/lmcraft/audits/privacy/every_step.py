"""An audit of all steps at once, by an attacker who sees the noisy gradient of each step.

Each canary is a gradient of its own, which is orthogonal to all others and as long as a unit's can be: the strongest one
that there is (Dirac canaries, arXiv 2302.07956, section 4.2). A coin puts it into the data. If it is in, the run's sampler
says in which steps, and each of these has it in its gradient; the noise is the trainer's. The attacker adds up the
logarithms of the likelihood ratios of what it sees along the canary, and guesses the coins (`one_run`).

Shapes: N canaries.
"""

from dataclasses import dataclass
from time import monotonic

import numpy as np
import torch
from numpy.typing import NDArray

from lmcraft.audits.privacy.private_step import FIRST_STEP
from lmcraft.statistics.intervals import Floats
from lmcraft.training.dp.gradients import PrivateGradients

MAX_CANARIES = 20_000


@dataclass(frozen=True)
class EveryStep:
    """What an attacker sees of canaries in the noisy gradients."""

    scores: Floats
    """Sum of the log likelihood ratios of each canary, (N,)."""
    included: NDArray[np.bool_]
    """Its coin, (N,)."""
    steps: int
    """That were made; more of them give away more."""


def watch_steps(source: PrivateGradients, steps: int, sensitivity: float, *, seconds: float, seed: int = 0) -> EveryStep:
    """Draw the units and the noise of many steps, and look for canaries in them.

    Args:
        source: of the run.
        steps: of the run.
        sensitivity: the length of a canary's gradient, as a multiple of the norm limit: that which units reach.
        seconds: after which no further step is made.
        seed: of the coins.
    """
    mechanism, rng = source.mechanism, np.random.default_rng(seed)
    numbers = sum(weight.numel() for weight in source.weights.values())
    count = min(MAX_CANARIES, mechanism.units, numbers)
    included = rng.random(count) < 0.5
    places = np.sort(rng.choice(numbers, count, replace=False))
    scores, begin, step = np.zeros(count), monotonic(), 0
    rate, noise = mechanism.sampling_rate, mechanism.noise_multiplier
    while step < steps and (not step or monotonic() - begin <= seconds):
        seen = _noise(source, FIRST_STEP + step, places)
        drawn = source.sampler.draw(FIRST_STEP + step)
        drawn = drawn[drawn < count]
        seen[drawn[included[drawn]]] += sensitivity
        scores += np.log1p(rate * np.expm1(sensitivity * (2 * seen - sensitivity) / (2 * noise**2)))
        step += 1
    return EveryStep(scores, included, step)


def _noise(source: PrivateGradients, step: int, places: NDArray[np.int64]) -> Floats:
    """The noise of a step at some of the weights' numbers, as a multiple of the norm limit, (N,)."""
    for weight in source.weights.values():
        weight.grad = torch.zeros_like(weight)
    source.noise.add(step)
    seen, first = np.empty(len(places)), 0
    for weight in source.weights.values():
        assert weight.grad is not None
        begin, stop = np.searchsorted(places, [first, first + weight.numel()])
        values = weight.grad.flatten()[torch.from_numpy(places[begin:stop] - first).to(weight.device)]
        seen[begin:stop] = values.double().cpu().numpy()
        first += weight.numel()
    seen /= source.mechanism.max_grad_norm
    return seen
