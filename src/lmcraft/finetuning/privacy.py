"""Fine-tuning with differential privacy: what it excludes, how many examples a step reads, and its units."""

from dataclasses import fields
from pathlib import Path

from lmcraft.data.loader import RowReading
from lmcraft.errors import UserError
from lmcraft.finetuning.objectives.base import FinetuneObjective
from lmcraft.finetuning.objectives.registry import OBJECTIVES
from lmcraft.privacy.guarantee import Unit

# Noise is added once a step, so a step reads many examples: a sixteenth of them, within these bounds, if batch_size is 0.
STEPS_PER_EPOCH = 16
MIN_BATCH, MAX_BATCH = 64, 1024
REMEDY = "or leave out dp.epsilon"
# Settings of objectives, and why they are excluded.
EXCLUDED = {
    "kl": "it compares two models",
    "general": "rows of general text are no examples",
    "class_weights": "balanced weights give away how often each label occurs",
}


def check_private_settings(name: str, objective: FinetuneObjective, *, method: str, unit: str, l2_sp: float) -> None:
    """Raise UserError for a setting that differential privacy excludes, before the model or the data are read.

    Args:
        name: of the objective.
        objective: with its settings.
        method: the name of the method.
        unit: what `dp.unit` says.
        l2_sp: the setting of that name.
    """
    if not objective.sums_over_rows:
        private = ", ".join(other for other, cls in OBJECTIVES.items() if cls.sums_over_rows)
        raise UserError(
            f"objective={name} cannot be trained with differential privacy, since its loss compares examples or models: use "
            f"{private}, {REMEDY}"
        )
    if method == "dora":
        raise UserError(f"method.name=dora cannot be trained with differential privacy: use lora, {REMEDY}")
    if unit not in ("auto", unit_of(objective)):
        raise UserError(
            f"dp.unit={unit} is not what objective={name} learns from: leave it out, and the guarantee is for one "
            f"{unit_of(objective)}"
        )
    if l2_sp:
        raise _setting_error("l2_sp", l2_sp, "its penalty is no part of any example's loss")
    for f in fields(objective):
        value = getattr(objective, f.name)
        if f.name in EXCLUDED and value != f.default:
            raise _setting_error(f.name, value, EXCLUDED[f.name])


def _setting_error(name: str, value: object, reason: str) -> UserError:
    return UserError(f"{name}={value} does not work with differential privacy, since {reason}: leave it out, {REMEDY}")


def check_private_text(data: Path, reading: RowReading | None) -> None:
    """Raise UserError for a dataset folder whose text is read in a way that differential privacy excludes."""
    if reading is not None:
        raise UserError(
            f"dataset '{data}' has marks, which fine-tuning with differential privacy does not read: prepare it again "
            f"without them, {REMEDY}"
        )


def unit_of(objective: FinetuneObjective) -> Unit:
    """What the guarantee is for."""
    return "document" if objective.example_type is None else "example"


def private_batch_size(units: int) -> int:
    """The number of units that a step draws on average, unless it is set."""
    return min(units, max(MIN_BATCH, min(MAX_BATCH, units // STEPS_PER_EPOCH)))
