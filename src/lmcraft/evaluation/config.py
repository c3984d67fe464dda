"""The settings that the commands which evaluate models share."""

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from lmcraft.config import MACHINE, SEVERAL_VALUES, Config, automatic
from lmcraft.errors import UserError


@dataclass(frozen=True, kw_only=True)
class TaskSettings(Config):
    """What a command measures models on, and how."""

    tasks: Annotated[tuple[str, ...], SEVERAL_VALUES] = ("english",)
    """Names of tasks and scorecards, and TOML files of your own tasks (docs/add-a-task.md)."""
    limit: Annotated[int, automatic("all; 100 in scorecards")] = 0
    """Number of items per task, drawn at random, always the same ones."""
    chat: bool = False
    """Ask through the model's chat template, whatever the tasks say."""
    weights: Annotated[Literal["auto", "float32", "bfloat16", "int8", "int4"], MACHINE] = "auto"
    """Data type of the weights while answers are generated."""
    device: Annotated[str, MACHINE] = "auto"
    """Device: cpu, cuda or auto."""
    precision: Annotated[Literal["auto", "bf16", "fp32"], MACHINE] = "auto"
    """Data type of weights and activations."""

    def resolved(self) -> Self:
        if self.limit < 0:
            raise UserError(f"limit={self.limit} must not be negative; 0 scores all items")
        if not self.tasks:
            raise UserError("tasks is empty: name at least one task or scorecard")
        return self
