"""The next piece of work, decided from the table of trials alone."""

from dataclasses import dataclass

from lmcraft.hyperparameters.trial import Kind, Point


@dataclass(frozen=True, kw_only=True)
class NewTrial:
    """Add a trial and train it to `target_step`."""

    point: Point
    target_step: int = 0
    bracket: int = 0
    kind: Kind = Kind.TRIAL
    source: int | None = None
    seed: int = 1


@dataclass(frozen=True)
class Promote:
    """Continue a paused trial to `target_step`; 0: to the end."""

    number: int
    target_step: int


@dataclass(frozen=True)
class Rerun:
    """Take up a waiting trial."""

    number: int


@dataclass(frozen=True)
class Wait:
    """Nothing to do until a running trial ends."""


@dataclass(frozen=True)
class Done:
    """The search is over."""

    reason: str = ""
    """Why, if a limit or failures ended it."""


Decision = NewTrial | Promote | Rerun | Wait | Done
