"""The documents that a pretraining run read, and others that it did not read, drawn alike."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from lmcraft.data.document_numbers import number_rows
from lmcraft.data.splits import VALIDATION
from lmcraft.folder import DatasetFolder
from lmcraft.interpretability.influence.documents import Documents
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
    folder, rng = DatasetFolder(config.data), np.random.default_rng(seed)
    training, held_out = Documents(folder), Documents(folder, VALIDATION)
    draws = _drawing_tokens(training, rng) if rows_read is None else _drawing_from_rows(config, rows_read, rng)
    members = _choose(training, draws, count, excluded=config.without)
    others = [training.sequence(number).tolist() for number in config.without]
    if not others:
        chosen = _choose(held_out, _drawing_tokens(held_out, rng), count)
        others = [held_out.sequence(number).tolist() for number in chosen]
    is_like = bool(config.without) or folder.token_manifest().get("settings", {}).get("split", "hash") != "tail"
    return DocumentSample([training.sequence(number).tolist() for number in members], members, others, is_like)


def _choose(documents: Documents, draws: Iterator[int], count: int, excluded: Collection[int] = ()) -> list[int]:
    """The numbers of different documents that are long enough."""
    numbers: dict[int, None] = {}
    for number in islice(draws, DRAWS_PER_DOCUMENT * count):
        if number >= 0 and documents.lengths[number] >= MIN_TOKENS and number not in excluded:
            numbers[number] = None
        if len(numbers) == count:
            break
    return list(numbers)


def _drawing_tokens(documents: Documents, rng: np.random.Generator) -> Iterator[int]:
    """The numbers of the documents of random tokens, without end."""
    while True:
        yield int(np.searchsorted(documents.starts, rng.integers(len(documents.split)), side="right")) - 1


def _drawing_from_rows(config: PretrainConfig, rows_read: int, rng: np.random.Generator) -> Iterator[int]:
    """The numbers of the documents of random targets of a run, without end; negative where there is no document."""
    rows, _ = number_rows(RunData.open(config).training_rows(config), DatasetFolder(config.data))
    while True:
        targets = rows.batch(rng.integers(rows_read, size=ROWS_PER_BATCH).tolist()).targets
        yield from rng.permuted(targets, axis=1)[:, 0].tolist()
