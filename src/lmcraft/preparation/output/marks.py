"""Puts marks between the tokens of documents, where the stage `mark` has noted them.

Without its marks, a text has the tokens that it has without the stage: a mark that would cut a token comes after it.
"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.marks import BAD, GOOD
from lmcraft.preparation.contracts import JsonObject, Record
from lmcraft.preparation.stages.mark import NOTE
from lmcraft.tokenizer import Tokenizer

COUNTS = ("good_passages", "bad_passages")


class MarkInserter:
    """Inserts and counts the marks of one unit's documents.

    Args:
        tokenizer: has the marks as special tokens, if any document has one.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids = (tokenizer.id_of(GOOD), tokenizer.id_of(BAD))
        self._counts = [0, 0]

    def insert(self, record: Record, ids: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The tokens of a document with its marks.

        Args:
            record: the document.
            ids: the tokens of its text, (T,).
        """
        if not (noted := record.notes.get(NOTE)):
            return ids
        starts, bad = (list(column) for column in zip(*noted, strict=True))
        for is_bad in bad:
            self._counts[is_bad] += 1
        marks = np.array([self._ids[is_bad] for is_bad in bad], np.uint32)
        sizes = [len(record.text[a:b].encode("utf-8", "surrogatepass")) for a, b in zip([0, *starts], starts, strict=False)]
        borders = np.concatenate(([0], np.cumsum(self._token_bytes[ids])))
        if borders[-1] != len(record.text.encode("utf-8", "surrogatepass")):
            return self._encode_apart(record.text, starts, marks)
        return np.insert(ids, np.searchsorted(borders, np.cumsum(sizes)), marks)

    def _encode_apart(self, text: str, starts: list[int], marks: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """For tokenizers whose tokens do not spell the bytes of a text: each passage is encoded on its own."""
        passages = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
        encoded = self._tokenizer.encode_arrays(passages)
        return np.concatenate([np.append(mark, ids) for mark, ids in zip(marks, encoded, strict=True)]).astype(np.uint32)

    @cached_property
    def _token_bytes(self) -> NDArray[Any]:
        """The length of each token of the vocabulary in bytes."""
        return np.array([len(self._tokenizer.token_bytes(token_id)) for token_id in range(self._tokenizer.vocab_size)])

    def counts(self) -> JsonObject:
        """The numbers of good and of bad passages so far; nothing if no document had marks."""
        return dict(zip(COUNTS, self._counts, strict=True)) if any(self._counts) else {}
