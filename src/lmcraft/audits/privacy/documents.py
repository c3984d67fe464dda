"""The documents that a run read, and others that it did not read, drawn alike."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmcraft.audits.privacy.membership import TokenScores, score_tokens
from lmcraft.data.document_numbers import number_rows
from lmcraft.data.splits import VALIDATION
from lmcraft.folder import DatasetFolder
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.model.transformer import Transformer
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.pretraining.run_data import RunData

MIN_TOKENS = 8  # of a document: a shorter one tells nothing
DRAWS_PER_DOCUMENT = 20
ROWS_PER_BATCH = 64


@dataclass(frozen=True)
class Document:
    """A document as a model reads it."""

    ids: list[int]
    """Token ids, after the end token."""
    scored: NDArray[np.bool_] | None = None
    """Which of the tokens after the first training predicts, (len(ids) - 1,); None: all."""


@dataclass(frozen=True)
class DocumentSample:
    """Documents that training read, and others."""

    members: list[Document]
    member_numbers: list[int]
    """The number of each member in the training split; empty if it is not a dataset folder's."""
    others: list[Document]
    is_like: bool
    """Whether the others are a random part of the same text, so that only training makes a difference."""


def score_sample(model: Transformer, documents: Sequence[Document]) -> list[TokenScores]:
    """The scores of the tokens that training predicts."""
    scores = score_tokens(model, [document.ids for document in documents])
    return [
        score if document.scored is None else score.selected(document.scored)
        for document, score in zip(documents, scores, strict=True)
    ]


def sample_documents(
    data: Path, count: int, seed: int, *, rows_of: PretrainConfig | None = None, rows_read: int | None = None
) -> DocumentSample:
    """Draw documents, each with the same probability.

    Args:
        data: dataset folder.
        count: of each kind, at most.
        seed: of the draws.
        rows_of: the settings of a pretraining run: which documents it does not read.
        rows_read: how many rows the run has read; None: any document may have been read.

    Raises:
        UserError: the dataset has no such split, or a shard is damaged.
    """
    folder, rng = DatasetFolder(data), np.random.default_rng(seed)
    training, held_out = Documents(folder), Documents(folder, VALIDATION)
    without = () if rows_of is None else rows_of.without
    draws = _drawing_all(training, rng)
    if rows_of is not None and rows_read is not None:
        draws = _drawing_from_rows(rows_of, rows_read, rng)
    members = _choose(training, draws, count, excluded=without)
    others = _read(training, without) or _read(held_out, _choose(held_out, _drawing_all(held_out, rng), count))
    is_like = bool(without) or folder.token_manifest().get("settings", {}).get("split", "hash") != "tail"
    return DocumentSample(_read(training, members), members, others, is_like)


def _read(documents: Documents, numbers: Sequence[int]) -> list[Document]:
    return [Document(documents.sequence(number).tolist()) for number in numbers]


def _choose(documents: Documents, draws: Iterator[int], count: int, excluded: Collection[int] = ()) -> list[int]:
    """The numbers of different documents that are long enough."""
    numbers: dict[int, None] = {}
    for number in islice(draws, DRAWS_PER_DOCUMENT * count):
        if number >= 0 and documents.lengths[number] >= MIN_TOKENS and number not in excluded:
            numbers[number] = None
        if len(numbers) == count:
            break
    return list(numbers)


def _drawing_all(documents: Documents, rng: np.random.Generator) -> Iterator[int]:
    """The numbers of all documents in random order."""
    yield from rng.permutation(len(documents)).tolist()


def _drawing_from_rows(config: PretrainConfig, rows_read: int, rng: np.random.Generator) -> Iterator[int]:
    """The numbers of the documents that begin in random rows of a run, without end: long ones are no likelier."""
    rows, _ = number_rows(RunData.open(config).training_rows(config), DatasetFolder(config.data))
    while True:
        targets = rows.batch(rng.integers(rows_read, size=ROWS_PER_BATCH).tolist()).targets
        yield from targets[:, 1:][targets[:, 1:] != targets[:, :-1]].tolist()
