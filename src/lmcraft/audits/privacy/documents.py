"""The documents that a pretraining run read, and others that it did not read, drawn alike."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from lmcraft.data.document_numbers import number_rows
from lmcraft.data.loader import Int64, TokenSplit
from lmcraft.data.splits import TRAIN, VALIDATION
from lmcraft.folder import DatasetFolder
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.pretraining.run_data import RunData

MIN_TOKENS = 8  # of a document: a shorter one tells nothing
DRAWS_PER_DOCUMENT = 20
ROWS_PER_BATCH = 64


@dataclass(frozen=True)
class DocumentSample:
    """Documents that training read and others, as token ids after the end token."""

    members: list[list[int]]
    member_numbers: list[int]
    """The number of each member in the training split."""
    others: list[list[int]]
    is_like: bool
    """Whether the others are a random part of the same text, so that only training makes a difference."""


def sample_documents(config: PretrainConfig, rows_read: int | None, count: int, seed: int) -> DocumentSample:
    """Draw documents with a probability that grows with their length, as a random token draws its document.

    Args:
        config: of the run, resolved.
        rows_read: by the steps that made the weights; None: any document may have been read.
        count: of each kind, at most.
        seed: of the draws.

    Raises:
        UserError: the dataset has no such split, or a shard is damaged.
    """
    manifest, rng = DatasetFolder(config.data).token_manifest(), np.random.default_rng(seed)
    training, held_out = (_Texts.open(config.data, name) for name in (TRAIN, VALIDATION))
    draw = training.drawing(rng) if rows_read is None else _drawing_from_rows(config, rows_read, rng)
    members = training.choose(draw, count, excluded=config.without)
    others = [training.read(number) for number in config.without]
    others = others or [held_out.read(number) for number in held_out.choose(held_out.drawing(rng), count)]
    is_like = bool(config.without) or manifest.get("settings", {}).get("split", "hash") != "tail"
    return DocumentSample([training.read(number) for number in members], members, others, is_like)


@dataclass(frozen=True)
class _Texts:
    """The documents of a split."""

    split: TokenSplit
    starts: Int64
    end: int | None

    @classmethod
    def open(cls, data: Path, name: str) -> "_Texts":
        folder = DatasetFolder(data)
        split = TokenSplit(folder, name)
        return cls(split, split.document_starts(0, len(split)), folder.token_manifest().get("eos_token_id"))

    def drawing(self, rng: np.random.Generator) -> Iterator[int]:
        """The numbers of the documents of random tokens, without end."""
        while True:
            yield int(np.searchsorted(self.starts, rng.integers(len(self.split)), side="right")) - 1

    def choose(self, draws: Iterator[int], count: int, excluded: Collection[int] = ()) -> list[int]:
        """The numbers of different documents that are long enough."""
        sizes = np.diff(self.starts, append=len(self.split))
        numbers: dict[int, None] = {}
        for number in islice(draws, DRAWS_PER_DOCUMENT * count):
            if number >= 0 and sizes[number] >= MIN_TOKENS and number not in excluded:
                numbers[number] = None
            if len(numbers) == count:
                break
        return list(numbers)

    def read(self, number: int) -> list[int]:
        """The tokens of a document after the end token."""
        stop = int(self.starts[number + 1]) if number + 1 < len(self.starts) else len(self.split)
        before = [] if self.end is None else [self.end]
        return [*before, *self.split.slice(int(self.starts[number]), stop).tolist()]


def _drawing_from_rows(config: PretrainConfig, rows_read: int, rng: np.random.Generator) -> Iterator[int]:
    """The numbers of the documents of random targets of a run, without end; negative where there is no document."""
    rows, _ = number_rows(RunData.open(config).training_rows(config), DatasetFolder(config.data))
    while True:
        targets = rows.batch(rng.integers(rows_read, size=ROWS_PER_BATCH).tolist()).targets
        yield from rng.permuted(targets, axis=1)[:, 0].tolist()
