"""The training documents that are to be forgotten: by number or text, and others that share text with them.

Shapes: N documents, T tokens.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lmcraft.data.document_numbers import NO_DOCUMENT
from lmcraft.data.loader import Int64
from lmcraft.errors import UserError
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.interpretability.influence.training_run import TrainingRun
from lmcraft.terminal import progress_bar

RUN_TOKENS = 8  # of a run of tokens that two documents may share
SIMILAR_SHARE = 0.3  # of a document's runs, from which on another one is named
MAX_MATCHES, MAX_MATCH_SHARE = 10, 0.1  # documents with one text, and their share of all
MIN_CONTAINED_CHARS = 40  # of a document that is part of a text
TOKENS_PER_CHUNK = 1 << 20
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Selection:
    """What is to be forgotten."""

    numbers: tuple[int, ...]
    """Of training documents, ascending."""
    unknown: tuple[str, ...] = ()
    """Texts that are in no training document."""


def select_documents(documents: Documents, numbers: Sequence[int], texts: Sequence[str]) -> Selection:
    """The documents with these numbers, and those that contain one of the texts or are part of it.

    White space counts as one space.

    Raises:
        UserError: there is no document of a number, or too many have a text.
    """
    missing = next((number for number in numbers if not 0 <= number < len(documents)), None)
    if missing is not None:
        raise UserError(
            f"document={missing} does not exist: '{documents.folder.path}' has the training documents 0 to "
            f"{len(documents) - 1:,}"
        )
    normalized_texts = [_normalize(text) for text in texts]
    matches: list[list[int]] = [[] for _ in normalized_texts]
    if normalized_texts:
        with progress_bar("looking for the texts") as report:
            for number in range(len(documents)):
                report(number, len(documents))
                document = _normalize(documents.text(number))
                for text, matched in zip(normalized_texts, matches, strict=True):
                    if text in document or (len(document) >= MIN_CONTAINED_CHARS and document in text):
                        matched.append(number)
    for text, matched in zip(texts, matches, strict=True):
        if len(matched) > max(MAX_MATCHES, MAX_MATCH_SHARE * len(documents)):
            raise UserError(
                f"text={text[:40]!r} is in {len(matched):,} of the {len(documents):,} training documents: give a longer "
                "one, or name documents with --document"
            )
    unknown = tuple(text for text, matched in zip(texts, matches, strict=True) if not matched)
    return Selection(tuple(sorted({*numbers, *(number for matched in matches for number in matched)})), unknown)


def _normalize(text: str) -> str:
    return " ".join(text.split())


def first_steps(run: TrainingRun, numbers: Collection[int]) -> dict[int, int]:
    """The step, from 0, that read each document first; one that was not read before the weights were kept has none."""
    waiting, steps = set(numbers), dict[int, int]()
    for step in range(run.steps):
        if not waiting:
            break
        documents = run.batch(step).documents
        for number in waiting & set(documents[documents != NO_DOCUMENT].tolist()):
            steps[number] = step
            waiting.discard(number)
    return steps


def find_similar(documents: Documents, numbers: Sequence[int], *, least: float = SIMILAR_SHARE) -> list[tuple[int, float]]:
    """Other documents that share text with some, most first: number, and the share of one's runs of 8 tokens that are in it.

    Args:
        documents: of the dataset.
        numbers: those that are to be forgotten.
        least: share of the runs.
    """
    runs = {number: np.unique(_hash_runs(documents.tokens(number))) for number in numbers}
    runs = {number: hashes for number, hashes in runs.items() if len(hashes)}
    if not runs:
        return []
    every = np.unique(np.concatenate(list(runs.values())))
    shares = dict[int, float]()
    for first, last in _chunks(documents):
        tokens = documents.split.slice(
            int(documents.starts[first]), int(documents.starts[last - 1] + documents.lengths[last - 1])
        )
        hits = np.flatnonzero(np.isin(_hash_runs(tokens.astype(np.int64)), every)) + int(documents.starts[first])
        for number in set((np.searchsorted(documents.starts, hits, side="right") - 1).tolist()) - set(numbers):
            hashes = _hash_runs(documents.tokens(number))
            share = max(float(np.isin(own, hashes).mean()) for own in runs.values())
            if share >= least:
                shares[number] = share
    return sorted(shares.items(), key=lambda item: (-item[1], item[0]))


def _chunks(documents: Documents) -> list[tuple[int, int]]:
    """Ranges of documents of about a million tokens."""
    chunks = np.unique(np.searchsorted(documents.starts, np.arange(0, len(documents.split), TOKENS_PER_CHUNK)))
    borders = [*chunks.tolist(), len(documents)]
    return [(first, last) for first, last in pairwise(borders) if first < last]


def _hash_runs(tokens: Int64) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """A hash of each run of 8 tokens, (T - 7,)."""
    count = len(tokens) - RUN_TOKENS + 1
    if count < 1:
        return np.empty(0, np.uint64)
    hashes = np.zeros(count, np.uint64)
    for offset in range(RUN_TOKENS):
        hashes = (hashes ^ tokens[offset : offset + count].astype(np.uint64)) * MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
    return hashes
