"""A trial: one point of the search space, its state and its results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from lmcraft.json_lines import format_json

Value = int | float | str | bool
Point = Mapping[str, Value]
"""Values by the full name of a setting, such as `pretrain.depth`; without those whose condition is false."""

ASKER = "asked"
"""The worker of a trial that a person or another program trains."""
Signs = Mapping[str, int]
"""1 for each objective that is minimized and -1 for each that is maximized, by its name."""


class State(StrEnum):
    """WAITING → RUNNING → PAUSED (at a rung) → RUNNING → ... → COMPLETE, FAILED or INFEASIBLE."""

    WAITING = "waiting"
    """Ready for a worker: new, promoted, or left by a worker that ended."""
    RUNNING = "running"
    PAUSED = "paused"
    """Trained to its target step; more training only if it is promoted."""
    COMPLETE = "complete"
    FAILED = "failed"
    INFEASIBLE = "infeasible"
    """A command refused the settings."""

    @property
    def is_final(self) -> bool:
        return self in (State.COMPLETE, State.FAILED, State.INFEASIBLE)


class Kind(StrEnum):
    """What a trial is for."""

    TRIAL = "trial"
    CONFIRMATION = "confirmation"
    """The settings of a finished trial with another seed, judged on data that the search never used."""


@dataclass(frozen=True)
class CurvePoint:
    """The objectives' values at a step of a run."""

    step: int
    values: Mapping[str, float]
    """By the name of the metric."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A row of the table of trials."""

    number: int
    """From 0, without gaps."""
    point: Point
    kind: Kind = Kind.TRIAL
    source: int | None = None
    """The trial that a confirmation repeats."""
    seed: int = 1
    bracket: int = 0
    """Of Hyperband."""
    target_step: int = 0
    """Where to pause; 0: train to the end."""
    state: State = State.WAITING
    step: int = 0
    """Steps that are trained and saved."""
    attempts: int = 0
    """Leases in a row since the latest progress, with the present one."""
    curve: Sequence[CurvePoint] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    """The objectives at the end, on the validation data."""
    holdout: Mapping[str, float] = field(default_factory=dict)
    """The objectives at the end, on the data that the search does not use."""
    tokens: int = 0
    """Trained so far, over all attempts."""
    seconds: float = 0.0
    """Computed so far, over all attempts."""
    energy_kwh: float = 0.0
    error: str = ""
    change: str = ""
    """What a person or a program says about it."""
    worker: str = ""
    """Who holds the lease: the name of a process (`holder.py`), or who asked for the trial."""
    lease: str = ""
    """A random token; a write with another one is refused."""
    lease_expires: float = 0.0
    """Unix time by the clock of the store."""
    created: float = 0.0
    finished: float = 0.0

    @property
    def is_asked(self) -> bool:
        """Whether it waits for a person or another program to tell its result."""
        return self.state is State.RUNNING and self.worker == ASKER


def trial_folder(out: Path, number: int) -> Path:
    """The folder of a trial, in that of its search."""
    return out / "trials" / f"{number:04d}"


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """What a call of `running.train` has reached: at its end, or so far, as it reports while it trains.

    Only tokens, seconds and energy are those of the call alone; the store adds them to those of earlier calls.
    """

    step: int = 0
    """Steps that are trained and saved."""
    curve: Sequence[CurvePoint] = ()
    """From the first step, whichever call trained it."""
    values: Mapping[str, float] = field(default_factory=dict)
    """The objectives at the end; none: the trial has not reached it."""
    holdout: Mapping[str, float] = field(default_factory=dict)
    tokens: int = 0
    seconds: float = 0.0
    energy_kwh: float = 0.0


@dataclass(frozen=True)
class AskedTrial:
    """A trial to train."""

    number: int
    settings: Point
    files: Mapping[str, Path]
    """The settings of each of its commands, by the name of its table."""
    command: str
    """The command line that trains it."""

    def to_json(self) -> str:
        """As one line of JSON."""
        config = {name: str(file) for name, file in self.files.items()}
        return format_json(
            {"trial": self.number, "settings": dict(self.settings), "config": config, "command": self.command}
        )


@dataclass(frozen=True)
class Totals:
    """What a search has used so far, in all its workers and before all restarts."""

    seconds: float = 0.0
    """Time during which at least one worker was alive."""
    energy_kwh: float = 0.0
    tokens: int = 0
