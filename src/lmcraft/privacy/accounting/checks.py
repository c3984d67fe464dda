"""The ranges of values for which the accountants are right."""

import math

from lmcraft.errors import UserError

MIN_NOISE_MULTIPLIER, MAX_NOISE_MULTIPLIER = 0.01, 1e7
MAX_STEPS = 10**9
MIN_DELTA = 1e-18


def check_sampling_rate(sampling_rate: float) -> None:
    """Raises UserError unless it is a probability above 0."""
    if not 0 < sampling_rate <= 1:
        raise UserError(
            f"the sampling rate is {sampling_rate:g}: it must be above 0 and at most 1 (it is the batch size divided by "
            "the number of units)"
        )


def check_noise_multiplier(noise_multiplier: float) -> None:
    """Raises UserError for so little noise that no epsilon means anything, and for no number."""
    if not MIN_NOISE_MULTIPLIER <= noise_multiplier <= MAX_NOISE_MULTIPLIER:
        raise UserError(
            f"the noise multiplier is {noise_multiplier:g}: it must be from {MIN_NOISE_MULTIPLIER:g} to "
            f"{MAX_NOISE_MULTIPLIER:g}; with less noise there is no guarantee"
        )


def check_steps(steps: int) -> None:
    """Raises UserError for a negative or an absurd number of steps."""
    if not 0 <= steps <= MAX_STEPS:
        raise UserError(f"the number of steps is {steps}: it must be from 0 to {MAX_STEPS:,}")


def check_delta(delta: float) -> None:
    """Raises UserError unless it is a probability that the accountants resolve."""
    if not MIN_DELTA <= delta < 1:
        raise UserError(
            f"delta is {delta:g}: it must be from {MIN_DELTA:g} to below 1, and should be far below 1 / the number of units"
        )


def check_epsilon(epsilon: float) -> None:
    """Raises UserError unless it is a positive number."""
    if not 0 < epsilon < math.inf:
        raise UserError(f"epsilon is {epsilon:g}: a number above 0 is needed; 8 is common, 1 is strict")
