"""The mechanism of a run: how often a unit is drawn, how much noise is added, and what the steps spend."""

from dataclasses import dataclass
from functools import cached_property

from lmcraft.errors import UserError
from lmcraft.privacy.accounting import default_delta, max_rows_for, noise_multiplier_for, spent_epsilon, steps_within
from lmcraft.privacy.accounting.checks import MAX_NOISE_MULTIPLIER, MIN_DELTA, MIN_NOISE_MULTIPLIER
from lmcraft.privacy.guarantee import Accountant, Guarantee, Unit
from lmcraft.training.config import DPConfig


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """A subsampled Gaussian mechanism, applied once a step."""

    unit: Unit
    units: int
    """Number of units in the training data."""
    batch_size: int
    """Number of units that a step draws on average."""
    noise_multiplier: float
    max_grad_norm: float
    max_rows: int
    """Units that a step reads at most."""
    target_epsilon: float
    delta: float
    """In all."""
    truncation_delta: float
    """The part of `delta` that pays for `max_rows`."""
    accountant: Accountant

    @property
    def sampling_rate(self) -> float:
        """Probability that a unit is drawn in a step."""
        return self.batch_size / self.units

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise that is added to the sum of the clipped gradients."""
        return self.noise_multiplier * self.max_grad_norm

    def spent(self, steps: int) -> float:
        """Epsilon after a number of steps."""
        return spent_epsilon(
            sampling_rate=self.sampling_rate,
            noise_multiplier=self.noise_multiplier,
            steps=steps,
            delta=self.delta - self.truncation_delta,
            accountant=self.accountant,
        )

    @cached_property
    def affordable_steps(self) -> int:
        """The number of steps that the budget pays for."""
        return steps_within(
            epsilon=self.target_epsilon,
            delta=self.delta - self.truncation_delta,
            sampling_rate=self.sampling_rate,
            noise_multiplier=self.noise_multiplier,
            accountant=self.accountant,
        )

    def guarantee(self, steps: int) -> Guarantee:
        """The guarantee of the weights after a number of steps."""
        return Guarantee(
            unit=self.unit,
            epsilon=self.spent(steps),
            delta=self.delta,
            target_epsilon=self.target_epsilon,
            units=self.units,
            sampling_rate=self.sampling_rate,
            noise_multiplier=self.noise_multiplier,
            max_grad_norm=self.max_grad_norm,
            steps=steps,
            max_rows=self.max_rows,
            truncation_delta=self.truncation_delta,
            accountant=self.accountant,
        )


def plan_mechanism(config: DPConfig, unit: Unit, *, units: int, batch_size: int, steps: int) -> Mechanism:
    """The mechanism of a run: what its settings leave open follows from the budget and the length.

    Args:
        config: checked.
        unit: what `config.unit` stands for.
        units: number of units in the training data.
        batch_size: number of units that a step draws on average.
        steps: length of the run.

    Raises:
        UserError: a setting does not fit the data, or no noise is enough.
    """
    if batch_size > units:
        raise UserError(
            f"batch_size={batch_size} is more than the {units} {unit}s of the training data, of which a step reads each at "
            f"most once: give at most {units}"
        )
    rate, delta = batch_size / units, config.delta or default_delta(units)
    for name, value, least, most in (
        ("delta", delta, MIN_DELTA, 1.0),
        ("noise_multiplier", config.noise_multiplier or 1.0, MIN_NOISE_MULTIPLIER, MAX_NOISE_MULTIPLIER),
    ):
        if not least <= value <= most:
            raise UserError(f"dp.{name}={value:g} is out of range: give {least:g} to {most:g}, or leave it out")
    if delta >= 1 / units:
        raise UserError(
            f"dp.delta={delta:g} is not below 1 / {units}, with which publishing a whole {unit} would be private: give a "
            f"smaller one, such as {default_delta(units):.1g}, or leave it out"
        )
    max_rows, truncation_delta = max_rows_for(
        units=units, sampling_rate=rate, steps=steps, epsilon=config.epsilon, delta=delta
    )
    try:
        noise = config.noise_multiplier or noise_multiplier_for(
            epsilon=config.epsilon,
            delta=delta - truncation_delta,
            sampling_rate=rate,
            steps=steps,
            accountant=config.accountant,
        )
    except UserError as error:
        raise UserError(f"dp.epsilon={config.epsilon:g} does not work here: {error}") from error
    return Mechanism(
        unit=unit,
        units=units,
        batch_size=batch_size,
        noise_multiplier=noise,
        max_grad_norm=config.max_grad_norm,
        max_rows=max_rows,
        target_epsilon=config.epsilon,
        delta=delta,
        truncation_delta=truncation_delta,
        accountant=config.accountant,
    )
