"""The mixture of a dataset: which share of training each source has, over languages, copies and the course of a run.

Shapes: P parts, K knots.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmcraft.errors import UserError
from lmcraft.setting_values import convert_value, converted_fields

MIN_TOKENS = 2  # of a part: an input and a target
MAX_USEFUL_EPOCHS = 4  # up to here, repeated text is nearly as good as new text (arXiv 2305.16264)
EPOCHS_TOLERANCE = 0.01  # rounding of a run to whole rows
Floats = NDArray[np.float64]


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
                raise UserError(
                    f"copies.{size} of the mixture is not a size of a cluster: use whole numbers from 1 on as keys"
                )
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
            raise UserError(f"until={starts[-1]:g} of the last stage of the mixture is before the end of training: use 1.0")
        if self.schedule and self.schedule[0].ramp:
            raise UserError(
                f"ramp={self.schedule[0].ramp:g} of the first stage of the mixture has no stage before it: leave it out"
            )

    def copies_of(self, cluster_size: int) -> int:
        """How often a document is read in an epoch whose cluster of near-duplicates has this size, itself included."""
        sizes = [size for size in map(int, self.copies) if size <= cluster_size]
        return self.copies[str(max(sizes))] if sizes else 1


def format_epochs(number: float) -> str:
    """A number of epochs with two digits, or as a whole number."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def parts_with_text(manifest: Mapping[str, Any], split: str) -> list[dict[str, Any]]:
    """The parts that a manifest lists, those that have enough tokens of a split."""
    return [part for part in manifest["parts"] if part.get(split, {}).get("tokens", 0) >= MIN_TOKENS]


def _convert_fields(config: MixtureStage | MixtureConfig, prefix: str) -> None:
    """Convert the values of a file or of Python to the types of the fields, so that they can be checked."""
    for name, value in converted_fields(config, prefix).items():
        object.__setattr__(config, name, value)


def check_weights(weights: Mapping[str, float], setting: str) -> None:
    """Raise UserError if a weight in `setting` is negative."""
    for name, weight in weights.items():
        if weight < 0:
            raise UserError(f"{setting}.{name}={weight:g} is not a weight: give a number from 0 on")


def describe_zero_shares(sources: Sequence[str]) -> str:
    """The sentence about shares that leave nothing to read."""
    if len(sources) == 1:
        return f"the share of {sources[0]}, the only source, is 0 at some time: give it a positive weight"
    return f"the shares of {', '.join(sources)} are all 0 at some time: give one of them a positive weight"


@dataclass(frozen=True)
class Part:
    """The training text of one source in one language whose documents are read equally often in an epoch."""

    source: str
    language: str
    copies: int
    tokens: int

    @property
    def tokens_per_epoch(self) -> int:
        """With all copies."""
        return self.copies * self.tokens


@dataclass(frozen=True)
class SourceUse:
    """How much of a source a run reads."""

    source: str
    tokens: int
    """Of one epoch, with all copies."""
    tokens_read: float
    share: float
    """Of all tokens that the run reads."""
    epochs: float


class Course:
    """How many rows of each part are read before a row of the run: the integral of shares that are linear between knots."""

    def __init__(self, knots: Sequence[tuple[float, Floats]]) -> None:
        """Shares (P,) from row numbers on; they change linearly up to the next knot, and stay after the last one."""
        self._rows_K = np.array([row for row, _ in knots])
        self._shares_KP = np.array([shares for _, shares in knots])
        steps_K = np.diff(self._rows_K)[:, None] * (self._shares_KP[1:] + self._shares_KP[:-1]) / 2
        self._before_KP = np.vstack([np.zeros_like(self._shares_KP[:1]), np.cumsum(steps_K, axis=0)])

    def shares(self, row: float) -> Floats:
        """The share of each part at a row, (P,)."""
        knot, distance, slope_P = self._locate(row)
        shares_P: Floats = self._shares_KP[knot] + slope_P * distance
        return shares_P

    def rows_before(self, row: float) -> Floats:
        """How many rows of each part are due before a row, with their fractions, (P,)."""
        knot, distance, slope_P = self._locate(row)
        rows_P: Floats = self._before_KP[knot] + (self._shares_KP[knot] + slope_P * distance / 2) * distance
        return rows_P

    def _locate(self, row: float) -> tuple[int, float, Floats]:
        """The last knot before a row, the distance from it, and the slope of the shares."""
        knot = int(np.searchsorted(self._rows_K, row, side="right")) - 1
        distance = row - float(self._rows_K[knot])
        if knot == len(self._rows_K) - 1:
            return knot, distance, np.zeros_like(self._shares_KP[0])
        slope_P: Floats = (self._shares_KP[knot + 1] - self._shares_KP[knot]) / (self._rows_K[knot + 1] - self._rows_K[knot])
        return knot, distance, slope_P


@dataclass(frozen=True)
class Mixture:
    """The sources of a dataset, and what decides their shares.

    A source has a weight, or a number of epochs, which is its tokens' share of the run. One without either counts in
    proportion to its tokens, as much as a weight of 1 if it is as large as these are on average. The sources with epochs
    come first, and the others share the remainder by weight. Inside a source, parts count by their tokens and copies.
    """

    parts: Sequence[Part]
    config: MixtureConfig = field(default_factory=MixtureConfig)
    weights: Mapping[str, float] = field(default_factory=dict)
    epochs: Mapping[str, float] = field(default_factory=dict)
    overrides: Mapping[str, float] = field(default_factory=dict)
    """Weights of a run, in place of all that the dataset says about these sources."""
    target_tokens: int = 0
    """Length of the run that this one stands for, whose repetition it has: it reads a share of each part; 0: itself."""

    @classmethod
    def read(
        cls,
        manifest: Mapping[str, Any],
        overrides: Mapping[str, float] | None = None,
        target_tokens: int = 0,
        *,
        copies: bool = True,
    ) -> "Mixture":
        """The mixture of a dataset of several parts.

        Args:
            manifest: of the dataset.
            overrides: weights in place of those of the manifest.
            target_tokens: length of the run that this one stands for; 0: itself.
            copies: whether documents are read as often as the recipe's `copies` say; False: once in an epoch.

        Raises:
            UserError: a weight is for no source of the dataset, or negative.
        """
        recorded = dict(manifest.get("mixture", {}))
        weights, epochs = recorded.pop("weights", {}), recorded.pop("epochs", {})
        parts = [
            Part(part["source"], part["language"], part["copies"] if copies else 1, part["train"]["tokens"])
            for part in parts_with_text(manifest, "train")
        ]
        config = convert_value(MixtureConfig, recorded, "manifest.json: mixture")
        mixture = cls(parts, config, weights, epochs, overrides or {}, target_tokens)
        mixture._check_overrides()
        return mixture

    @property
    def sources(self) -> list[str]:
        """The names of the sources that have text, in order."""
        return list(dict.fromkeys(part.source for part in self.parts))

    def _check_overrides(self) -> None:
        check_weights(self.overrides, "mixture")
        if unknown := next((name for name in self.overrides if name not in self.sources), None):
            near = get_close_matches(unknown, self.sources, n=1) or [", ".join(self.sources)]
            raise UserError(
                f"mixture.{unknown}={self.overrides[unknown]:g} is for no source of the dataset that has text: use {near[0]}"
            )

    def course(self, rows: int, row_tokens: int) -> Course:
        """The course of a run of so many rows of so many tokens.

        Raises:
            UserError: the weights leave nothing to read.
        """
        stages, shares = self.stages, self.stage_shares(rows * row_tokens)
        knots = [(0.0, shares[0])]
        for (stage, before), (later, after) in pairwise(zip(stages, shares, strict=True)):
            knots += [(stage.until * rows, before), ((stage.until + later.ramp) * rows, after)]
        return Course(knots)

    @property
    def stages(self) -> Sequence[MixtureStage]:
        """Those of the schedule, or the whole training as one."""
        return self.config.schedule or (MixtureStage(),)

    def stage_shares(self, run_tokens: int) -> list[Floats]:
        """The share of each part in each stage, after its ramp, each (P,).

        Args:
            run_tokens: length of the run; 0: as long as an epoch of all parts.

        Raises:
            UserError: the weights leave nothing to read.
        """
        return [self._shares(stage.weights, run_tokens) for stage in self.stages]

    def part_share(self, run_tokens: int) -> float:
        """The share of each part that a run reads, from its start.

        Raises:
            UserError: the run is longer than the one that it stands for.
        """
        if not self.target_tokens or not run_tokens:
            return 1.0
        if self.target_tokens < run_tokens:
            raise UserError(
                f"mixture_target_tokens={self.target_tokens} is less than the {run_tokens:,} tokens of the run: give the "
                "length of the longer run that it stands for, or leave it out"
            )
        return run_tokens / self.target_tokens

    def uses(self, rows: int, row_tokens: int) -> list[SourceUse]:
        """How much of each source a run reads.

        Raises:
            UserError: as `course` and `part_share`.
        """
        read_P = self.course(rows, row_tokens).rows_before(rows) * row_tokens
        share = self.part_share(rows * row_tokens)
        uses = []
        for source in self.sources:
            numbers = [n for n, part in enumerate(self.parts) if part.source == source]
            tokens = max(1, round(share * sum(self.parts[n].tokens_per_epoch for n in numbers)))
            read = float(read_P[numbers].sum())
            uses.append(SourceUse(source, tokens, read, read / max(1, rows * row_tokens), read / tokens))
        return uses

    def check_length(self, rows: int, row_tokens: int) -> None:
        """Check that a run is long enough for the sources whose number of epochs is fixed, beside others.

        Raises:
            UserError: it is too short.
        """
        tokens = self.target_tokens or rows * row_tokens
        for stage in self.stages:
            epochs = self._epochs(stage.weights)
            needed = sum(epochs[part.source] * part.tokens_per_epoch for part in self.parts if part.source in epochs)
            if needed > tokens and set(self.sources) - set(epochs):
                name, number = max(epochs.items(), key=lambda item: item[1])
                raise UserError(
                    f"epochs={number:g} of source '{name}' leaves nothing for the others: the sources with epochs have "
                    f"{needed:,.0f} tokens, and the run reads {tokens:,}: train longer, set --mixture-target-tokens to the "
                    f"length of the run that this one stands for, or give the source a weight (--mixture.{name})"
                )

    def warnings(self, rows: int, row_tokens: int) -> list[str]:
        """Sentences about sources that a run reads more often than was set, or than is useful."""
        planned = {} if self.config.schedule else self._epochs({})
        uses = self.uses(rows, row_tokens)
        longer = [use for use in uses if use.epochs > (1 + EPOCHS_TOLERANCE) * planned.get(use.source, use.epochs) > 0]
        repeated = [use for use in uses if use.epochs > MAX_USEFUL_EPOCHS and use not in longer]
        sentences = []
        if longer:
            numbers = ", ".join(f"{u.source} {format_epochs(u.epochs)} times, not {planned[u.source]:g}" for u in longer)
            sentences.append(f"the run is longer than the text of all sources lasts: it reads {numbers}")
        if repeated:
            numbers = ", ".join(f"{use.source} {format_epochs(use.epochs)} times" for use in repeated)
            sentences.append(
                f"the run is longer than the text of some sources lasts: it reads {numbers}; beyond {MAX_USEFUL_EPOCHS}, "
                "repeated text teaches ever less (arXiv 2305.16264)"
            )
        return sentences

    def _epochs(self, stage_weights: Mapping[str, float]) -> dict[str, float]:
        """The epochs of the sources that no weight of a stage or of the run replaces."""
        replaced = {**stage_weights, **self.overrides}
        return {name: number for name, number in self.epochs.items() if name not in replaced and name in self.sources}

    def _shares(self, stage_weights: Mapping[str, float], run_tokens: int) -> Floats:
        """The share of each part during a stage with these weights, (P,)."""
        weights, epochs = {**self.weights, **stage_weights, **self.overrides}, self._epochs(stage_weights)
        tokens_P = np.array([part.tokens_per_epoch for part in self.parts], np.float64)
        sizes = {name: float(tokens_P[[part.source == name for part in self.parts]].sum()) for name in self.sources}
        by_size = [size for name, size in sizes.items() if name not in weights and name not in epochs]
        mean = sum(by_size) / max(1, len(by_size))
        values = {name: weights.get(name, 0.0 if name in epochs else size / (mean or 1)) for name, size in sizes.items()}
        inside_P = tokens_P / np.array([sizes[part.source] or 1.0 for part in self.parts])
        largest = max(values.values()) or 1.0  # by which the weights are divided, since their sum could overflow
        weighted_P = self._by_language(np.array([values[part.source] / largest for part in self.parts]) * inside_P)
        total = (self.target_tokens or run_tokens) or tokens_P.sum()
        fixed_P = np.array([epochs.get(part.source, 0.0) for part in self.parts]) * tokens_P / total
        if weighted_P.sum() == 0 or fixed_P.sum() > 1:
            weighted_P, fixed_P = np.zeros_like(fixed_P), fixed_P / (fixed_P.sum() or 1)
        remainder = max(0.0, 1 - float(fixed_P.sum()))
        shares_P: Floats = fixed_P + remainder * weighted_P / (weighted_P.sum() or 1)
        if shares_P.sum() == 0:
            raise UserError(describe_zero_shares(self.sources))
        return shares_P

    def _by_language(self, weights_P: Floats) -> Floats:
        """The weights of the parts after the shares of the languages were flattened by the temperature."""
        languages = np.unique([part.language for part in self.parts], return_inverse=True)[1]
        totals_P = np.bincount(languages, weights_P / (weights_P.sum() or 1))[languages]
        factors_P = np.where(totals_P > 0, totals_P, 1.0) ** (1 / self.config.temperature - 1)
        flattened_P: Floats = weights_P * factors_P
        return flattened_P
