"""`TokenStream`: the text of tokens as they are generated."""

import codecs
from collections.abc import Callable, Collection, Sequence

MAX_PENDING_TOKENS = 8  # a character has at most four bytes, and so at most four tokens


class TokenStream:
    """An incremental decoder; it never returns half a character, and never raises, whatever the tokens are."""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        decode_bytes: Callable[[Sequence[int]], bytes] | None,
        skipped: Collection[int],
    ) -> None:
        """Decode tokens as they come.

        Args:
            decode: the text of tokens.
            decode_bytes: the bytes of tokens; None if they are not those of each token, one after the other.
            skipped: ids of tokens without a text.
        """
        self._decode, self._decode_bytes, self._skipped = decode, decode_bytes, skipped
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        # Without byte-level tokens, a token's text depends on its neighbors (leading spaces, bytes of one character). So a
        # token is decoded after those whose text was returned last, and what they add is its text.
        self._returned_ids: list[int] = []
        self._pending_ids: list[int] = []

    def put(self, token_id: int) -> str:
        """The text that `token_id` completes; "" while a character is unfinished."""
        if self._decode_bytes is not None:
            ids = () if token_id in self._skipped else (token_id,)
            return self._utf8.decode(self._decode_bytes(ids))
        if token_id in self._skipped:
            return ""
        self._pending_ids.append(token_id)
        text, is_last = self._pending_text(), len(self._pending_ids) == MAX_PENDING_TOKENS
        if (not text or text.endswith("\ufffd")) and not is_last:
            return ""
        # Invalid bytes would make all bytes after them invalid, too, so only one of them is kept.
        self._returned_ids, self._pending_ids = self._pending_ids[-1 if is_last else 0 :], []
        return text

    def end(self) -> str:
        """The pending text; an unfinished character becomes U+FFFD."""
        if self._decode_bytes is not None:
            return self._utf8.decode(b"", final=True)
        text, self._returned_ids, self._pending_ids = self._pending_text(), self._pending_ids, []
        return text

    def _pending_text(self) -> str:
        before = self._decode(self._returned_ids)
        return self._decode([*self._returned_ids, *self._pending_ids])[len(before) :]
