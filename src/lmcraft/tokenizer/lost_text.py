"""The text that a tokenizer loses: characters without a token, which are dropped or become the unknown token."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.tokenizer.byte_level import byte_of_character


class LostTextCounter:
    """Counts the bytes of a text that its tokens do not spell."""

    def __init__(self, hf: HFTokenizer, bytes_of_id: Mapping[int, bytes] | None, *, is_byte_level: bool) -> None:
        """Look at a vocabulary.

        Args:
            hf: its tokenizer.
            bytes_of_id: the bytes of each token, if a text is the concatenation of its tokens; else None.
            is_byte_level: whether its tokens are spelled in the alphabet of byte-level BPE.
        """
        self._hf, self._unknown_id = hf, None
        self._lengths: NDArray[np.int64] | None = None
        vocabulary = hf.get_vocab(with_added_tokens=False)
        self.is_complete = is_byte_level and byte_of_character().keys() <= vocabulary.keys()
        """Whether every text is spelled in full."""
        if self.is_complete:
            return
        self._characters = {token for token in vocabulary if len(token) == 1}
        model = json.loads(hf.model.__getstate__())
        byte_tokens = {f"<0x{byte:02X}>" for byte in range(256)}
        self.is_complete = bool(model.get("byte_fallback")) and byte_tokens <= vocabulary.keys()
        self._unknown_id = model.get("unk_id", vocabulary.get(model.get("unk_token")))
        if bytes_of_id is not None:
            self._lengths = np.zeros(max(bytes_of_id, default=-1) + 1, np.int64)
            for token_id, spelling in bytes_of_id.items():
                self._lengths[token_id] = 0 if token_id == self._unknown_id else len(spelling)

    def count(self, text: str, ids: Sequence[int] | NDArray[np.uint32]) -> int:
        """The bytes of a text, in UTF-8, that are not spelled by `ids`, its encoding."""
        if self.is_complete:
            return 0
        if self._lengths is not None:
            return max(0, len(text.encode()) - int(self._lengths[np.asarray(ids, np.int64)].sum()))
        if self._unknown_id is None:  # the library's offsets are wrong where it drops characters
            unknown = set(text) - self._characters
            return sum(text.count(c) * len(c.encode()) for c in unknown if not c.isspace())
        if self._unknown_id not in ids:
            return 0
        encoding = self._hf.encode(text, add_special_tokens=False)
        spelled = np.zeros(len(text), bool)
        for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            spelled[start:end] |= token_id != self._unknown_id
        return sum(len(text[n].encode()) for n in np.flatnonzero(~spelled).tolist() if not text[n].isspace())
