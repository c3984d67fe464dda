"""Rows of text for fill-in-the-middle: the model reads what comes before and after a gap, and then learns what is in it.

As in Bavarian et al. (arXiv 2207.14255, sections 3 and 4.4, "context level"), the change is made to the documents of a row,
after they were packed. The text of a document is cut into prefix, middle and suffix at two random characters, and each part
is encoded by itself, as a prompt is. Then the parts change places:

    PSM    <prefix> prefix <suffix> suffix <middle> middle <end>
    SPM    <prefix> <suffix> suffix <middle> prefix middle <end>

Unlike there, the three special tokens are never targets, so they take no probability from text that is read from left to
right; and each middle is followed by the end token, also where the row has cut the document, so the model learns to stop.

Shapes: T tokens of a row, D documents in it.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.loader import IGNORE_INDEX, Int64, RowReading, Sample

EXTRA_TOKENS = 4  # prefix, suffix, middle and end
DRAWS = 4  # random numbers per document


class TextTokenizer(Protocol):
    """What cutting a text needs of a tokenizer whose texts are the concatenated bytes of their tokens."""

    def encode(self, text: str) -> list[int]:
        """The token ids of a text, with lone surrogates for invalid bytes."""

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The bytes that token ids spell."""


class _Piece(NamedTuple):
    """The tokens of one document in a row, without its end token."""

    ids: Int64
    is_ended: bool


class _Part(NamedTuple):
    """Tokens of a finished row, and which of them may be targets."""

    ids: list[int]
    learned: list[bool]


@dataclass(frozen=True)
class FillInMiddleReading(RowReading):
    """How a run reads rows of text, some of whose documents become fill-in-the-middle.

    A document grows by four tokens and by those that the cuts divide; what then no longer fits is left out at the end of the
    row. Choices depend on the key of the row alone.
    """

    tokenizer: TextTokenizer
    prefix: int
    suffix: int
    middle: int
    end: int
    """The token between documents."""
    rate: float
    """Share of the documents that are cut."""
    spm_rate: float
    """Share of those whose suffix comes first."""
    special: Collection[int] = ()
    """Ids of special tokens. A document that has one inside stays as it is."""

    look_back = 0

    def judge(self, tokens: NDArray[Any], starts: Int64) -> NDArray[np.bool_]:
        return np.zeros(len(tokens), np.bool_)

    def read(self, row: Sample, judged: NDArray[np.bool_], key: Sequence[int]) -> Sample:
        """The row with some of its documents cut; each document keeps its place among them."""
        T = len(row.input_ids)
        pieces = list(self._pieces(row))
        draws_D = _generator(key).random((len(pieces), DRAWS))
        ids: list[int] = []
        learned: list[bool] = []
        documents: list[int] = []
        for number, (piece, draws) in enumerate(zip(pieces, draws_D.tolist(), strict=True)):
            if (room := T + 1 - len(ids)) <= 0:
                break
            part = (self._cut(piece, draws, room) if draws[0] < self.rate else None) or self._keep(piece)
            ids += part.ids[:room]
            learned += part.learned[:room]
            documents += [number] * min(room, len(part.ids))
        return _next_tokens(ids, learned, documents, T)

    def _pieces(self, row: Sample) -> Iterator[_Piece]:
        """The documents of a row, with the target of its last token."""
        length = int((row.targets != IGNORE_INDEX).sum())  # what follows is padding
        starts = [0, *(np.flatnonzero(np.diff(row.document_ids[:length])) + 1).tolist(), length]
        for start, stop in pairwise(starts):
            ids, following = row.input_ids[start:stop], row.targets[stop - 1]
            if len(ids) and ids[-1] == self.end:
                yield _Piece(ids[:-1], True)
                if stop == length:
                    yield _Piece(row.targets[stop - 1 : stop], False)
            elif stop < length and row.input_ids[stop] == following:  # the next document, without an end token between
                yield _Piece(ids, False)
            elif following == self.end:
                yield _Piece(ids, True)
            else:
                yield _Piece(np.append(ids, following), False)

    def _keep(self, piece: _Piece) -> _Part:
        ids = [*piece.ids.tolist(), *([self.end] if piece.is_ended else [])]
        return _Part(ids, [True] * len(ids))

    def _cut(self, piece: _Piece, draws: Sequence[float], room: int) -> _Part | None:
        """A document as fill-in-the-middle, in at most `room` tokens; None: it is empty, or has special tokens inside."""
        if np.isin(piece.ids, list(self.special)).any():
            return None
        kept = min(len(piece.ids), room - EXTRA_TOKENS)
        while kept > 0:
            text = self.tokenizer.decode_bytes(piece.ids[:kept].tolist()).decode("utf-8", "surrogateescape")
            first, second = sorted(int(draw * (len(text) + 1)) for draw in draws[1:3])
            parts = [self.tokenizer.encode(part) for part in (text[:first], text[first:second], text[second:])]
            excess = sum(map(len, parts)) + EXTRA_TOKENS - room
            if excess <= 0:
                return self._arrange(*parts, suffix_first=draws[3] < self.spm_rate)
            kept -= excess
        return None

    def _arrange(self, prefix: list[int], middle: list[int], suffix: list[int], *, suffix_first: bool) -> _Part:
        if suffix_first:
            ids = [self.prefix, self.suffix, *suffix, self.middle, *prefix, *middle, self.end]
        else:
            ids = [self.prefix, *prefix, self.suffix, *suffix, self.middle, *middle, self.end]
        marks = (self.prefix, self.suffix, self.middle)
        return _Part(ids, [token not in marks for token in ids])


def _generator(key: Sequence[int]) -> np.random.Generator:
    """Random numbers of a row; a seed may be negative."""
    return np.random.default_rng(
        int.from_bytes(hashlib.blake2b(f"fill-in-the-middle {list(key)}".encode(), digest_size=16).digest())
    )


def _next_tokens(ids: Sequence[int], learned: Sequence[bool], documents: Sequence[int], length: int) -> Sample:
    """The row whose inputs are the tokens but the last, and whose targets are those that follow, padded to its length."""
    inputs, targets = np.zeros(length, np.int64), np.full(length, IGNORE_INDEX, np.int64)
    document_ids = np.full(length, documents[-1] + 1 if documents else 0, np.int64)  # padding is one of its own
    used = max(0, len(ids) - 1)
    inputs[:used], document_ids[:used] = ids[:-1], documents[:-1]
    targets[:used] = np.where(learned[1:], ids[1:], IGNORE_INDEX)
    return Sample(inputs, targets, document_ids)
