"""A private run: its units, mechanism and secret, from its settings; and what it notes in its folder."""

from dataclasses import dataclass, replace
from typing import TypeVar

from lmcraft.data.documents import count_noun
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.model.transformer import Transformer
from lmcraft.privacy.guarantee import Unit
from lmcraft.training.config import TrainConfig
from lmcraft.training.continuation import read_recorded
from lmcraft.training.dp.checks import check_model
from lmcraft.training.dp.clipping import GhostClipper
from lmcraft.training.dp.gradients import PrivateGradients
from lmcraft.training.dp.mechanism import Mechanism, plan_mechanism
from lmcraft.training.dp.secret import Secret, forget_secret
from lmcraft.training.dp.units import Units
from lmcraft.training.objective import Objective

C = TypeVar("C", bound=TrainConfig)


@dataclass
class PrivateRun:
    """What makes a run private."""

    units: Units
    mechanism: Mechanism
    secret: Secret
    epsilon: float = 0.0
    """Spent when it was counted last."""

    @classmethod
    def stand_in(cls, config: TrainConfig, units: Units) -> "PrivateRun":
        """A run for measurements before the length is known, whose noise has any size."""
        batch_size = min(len(units), max(1, config.batch_size))
        mechanism = Mechanism(
            unit="document",
            units=len(units),
            batch_size=batch_size,
            noise_multiplier=1.0,
            max_grad_norm=config.dp.max_grad_norm,
            max_rows=len(units),
            target_epsilon=config.dp.epsilon,
            delta=config.dp.delta or 1e-6,
            truncation_delta=0.0,
            accountant="rdp",
        )
        return cls(units, mechanism, Secret())

    def gradients(self, model: Transformer, objective: Objective, config: TrainConfig) -> PrivateGradients:
        """Where the gradients of the run come from.

        Raises:
            UserError: the model or the objective cannot be trained privately.
        """
        check_model(model, objective)
        clipper = GhostClipper(model, objective, self.mechanism.max_grad_norm)
        tokens = max(1, config.micro_batch_size) * self.units.sequence_length
        # Noise that is drawn twice for different gradients gives away their difference.
        purpose = f"{config.max_steps} {config.precision} {config.device} {config.micro_batch_size} {config.attention}"
        return PrivateGradients(clipper, self.units, self.mechanism, self.secret, tokens=tokens, purpose=purpose)

    def start(self, folder: ModelFolder, step: int | None) -> str:
        """Keep the secret of a new run, and describe the mechanism in a sentence."""
        if step is None:
            self.secret.save(folder)
        self.spent(step or 0)
        m, paid = self.mechanism, count_noun(self.last_step, "step", "steps")
        return (
            f"differential privacy: epsilon {m.target_epsilon:g} at delta {m.delta:.2g} for each of {m.units:,} {m.unit}s; "
            f"a step reads each with probability {m.sampling_rate:.3g}, at most {m.max_rows}; noise "
            f"{m.noise_multiplier:.3g} x norm {m.max_grad_norm:g}; the budget pays for {paid}"
        )

    @property
    def last_step(self) -> int:
        """The last step that the budget pays for."""
        return self.mechanism.affordable_steps

    def spent(self, step: int) -> float:
        """Epsilon after a step."""
        self.epsilon = self.mechanism.spent(step)
        return self.epsilon

    def describe(self, step: int, config: TrainConfig) -> str:
        """What is spent, in a few words: counted anew after the last step, and at steps that are evaluated or saved."""
        if step in (config.max_steps, self.last_step) or not step % config.eval_every or not step % config.save_every:
            self.spent(step)
        return f"epsilon {self.epsilon:.2f} of {self.mechanism.target_epsilon:g}"

    def note(self, folder: ModelFolder, step: int) -> None:
        """Write the guarantee of the weights after a step."""
        self.spent(step)
        self.mechanism.guarantee(step).write(folder)

    def finish(self, folder: ModelFolder, step: int, max_steps: int) -> None:
        """Delete the secret if no further step can follow."""
        if step >= min(max_steps, self.last_step):
            forget_secret(folder)


def open_private_run(config: C, units: Units, unit: Unit, folder: ModelFolder, step: int | None) -> tuple[C, PrivateRun]:
    """The private run of a configuration whose length is known, and the configuration with every choice made.

    Args:
        config: resolved, with `dp.epsilon`.
        units: the training data.
        unit: what a unit is.
        folder: of the run, which has the secret of one that is continued.
        step: that the run continues after; None: a new run.

    Raises:
        UserError: the settings do not fit the data, the budget does not pay for a step, or the secret is gone.
    """
    if step is not None:
        _check_length(config, read_recorded(config, folder, step), folder)
    mechanism = plan_mechanism(config.dp, unit, units=len(units), batch_size=config.batch_size, steps=config.max_steps)
    if not mechanism.affordable_steps:
        raise UserError(
            f"dp.epsilon={config.dp.epsilon:g} does not pay for a single step with dp.noise_multiplier="
            f"{mechanism.noise_multiplier:g}: raise one of them, or lower batch_size={config.batch_size}"
        )
    is_over = (step or 0) >= min(config.max_steps, mechanism.affordable_steps)
    secret = Secret() if step is None or is_over else Secret.load(folder)
    chosen = replace(config.dp, unit=unit, delta=mechanism.delta, noise_multiplier=mechanism.noise_multiplier)
    return replace(config, dp=chosen), PrivateRun(units, mechanism, secret)


def _check_length(config: TrainConfig, recorded: TrainConfig, folder: ModelFolder) -> None:
    """Raise UserError if a run is continued with another length than its noise is for."""
    if config.max_steps != recorded.max_steps:
        raise UserError(
            f"max_steps={config.max_steps} differs from max_steps={recorded.max_steps} of the run in '{folder.path}', whose "
            f"noise is for dp.epsilon={recorded.dp.epsilon:g} after {recorded.max_steps} steps: continue with its own "
            "length, or start a new run with another --out"
        )
