"""The mixture of a dataset: which share of training each source has, over languages, copies and the course of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from lmcraft.errors import UserError
from lmcraft.setting_values import converted_fields


@dataclass(frozen=True, kw_only=True)
class MixtureStage:
    """A stage of the schedule, from the end of the one before to `until`."""

    until: float = 1.0
    """Share of the training at which the stage ends; the last one ends at 1."""
    ramp: float = 0.0
    """Share of the training during which the sources' shares move from those of the stage before, at the stage's start."""
    weights: dict[str, float] = field(default_factory=dict)
    """Weights of sources by name, in place of their own weight or epochs; the other sources keep theirs."""

    def __post_init__(self) -> None:
        _convert_fields(self, "mixture.schedule.")
        if not 0 < self.until <= 1:
            raise UserError(
                f"until={self.until:g} of a stage of the mixture is out of range: give a share of training up to 1"
            )
        if not 0 <= self.ramp <= 1:
            raise UserError(
                f"ramp={self.ramp:g} of a stage of the mixture is out of range: give a share of training, 0 to 1"
            )
        check_weights(self.weights, "weights")


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """How a dataset's sources are mixed when training reads them."""

    temperature: float = 1.0
    """The shares of languages are raised to the power of 1 / temperature, so that above 1 small languages gain
    (arXiv 2010.11934, section 3.1); the proportions of sources inside a language stay."""
    copies: dict[str, int] = field(default_factory=dict)
    """How often a document is read in an epoch, by the size of its cluster of near-duplicates: each number holds from its
    size up to the next. Empty: once."""
    schedule: tuple[MixtureStage, ...] = ()
    """Stages of training with other weights; empty: the weights are constant."""

    def __post_init__(self) -> None:
        _convert_fields(self, "mixture.")
        object.__setattr__(self, "copies", {str(size): copies for size, copies in self.copies.items()})
        if self.temperature <= 0:
            raise UserError(f"temperature={self.temperature:g} of the mixture is out of range: give a number above 0")
        for size, copies in self.copies.items():
            if not (size.isascii() and size.isdigit() and int(size) > 0):
                raise UserError(f"copies.{size} of the mixture is no size of a cluster: use whole numbers from 1 on as keys")
            if copies < 1:
                raise UserError(f"copies.{size}={copies} of the mixture is out of range: give a whole number from 1 on")
        starts = (0.0, *(stage.until for stage in self.schedule))
        for (start, end), stage in zip(pairwise(starts), self.schedule, strict=True):
            if end <= start:
                raise UserError(f"until={end:g} of a stage of the mixture is not after {start:g}: put the stages in order")
            if stage.ramp > end - start:
                raise UserError(
                    f"ramp={stage.ramp:g} is longer than its stage of the mixture, which lasts {end - start:g}: shorten it"
                )
        if self.schedule and starts[-1] != 1:
            raise UserError(f"until={starts[-1]:g} of the last stage of the mixture leaves a rest: end it at 1.0")
        if self.schedule and self.schedule[0].ramp:
            raise UserError(
                f"ramp={self.schedule[0].ramp:g} of the first stage of the mixture has no stage before it: leave it out"
            )

    def copies_of(self, cluster_size: int) -> int:
        """How often a document is read in an epoch whose cluster of near-duplicates has this size, itself included."""
        sizes = [size for size in map(int, self.copies) if size <= cluster_size]
        return self.copies[str(max(sizes))] if sizes else 1


def _convert_fields(config: MixtureStage | MixtureConfig, prefix: str) -> None:
    """Convert the values of a file or of Python to the types of the fields, so that they can be checked."""
    for name, value in converted_fields(config, prefix).items():
        object.__setattr__(config, name, value)


def check_weights(weights: Mapping[str, float], setting: str) -> None:
    """Raise UserError if a weight in `setting` is negative."""
    for name, weight in weights.items():
        if weight < 0:
            raise UserError(f"{setting}.{name}={weight:g} is no weight: give a number from 0 on")
