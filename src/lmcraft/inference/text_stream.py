"""Detokenize a continuation token by token, and end its text at the first stop string."""

from collections.abc import Sequence

from lmcraft.tokenizer.tokenizer import Tokenizer


class TextStream:
    """The text of one continuation, released as its tokens arrive.

    The released pieces add up to the whole text, which ends before the first complete stop string. Text that may be the
    beginning of a stop string is held back, and so are incomplete characters.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self._decoder = tokenizer.stream()
        self._stop = stop
        self._pending = ""
        self.stopped_by = ""
        """The stop string that ended the text; empty while there is none."""

    def put(self, token_id: int) -> str:
        """Add a token; returns the text that can be released."""
        return self._release(self._decoder.put(token_id))

    def end(self) -> str:
        """The remaining text, after the last token."""
        text = self._release(self._decoder.end())
        pending, self._pending = self._pending, ""
        return text + pending

    def _release(self, piece: str) -> str:
        if self.stopped_by:
            return ""
        if not self._stop:
            return piece
        text = self._pending + piece
        matches = [(start + len(stop), start, stop) for stop in self._stop if (start := text.find(stop)) >= 0]
        if matches:
            _, start, self.stopped_by = min(matches)
            self._pending = ""
            return text[:start]
        released = len(text) - max(overlap(text, stop) for stop in self._stop)
        self._pending = text[released:]
        return text[:released]


def overlap(text: str, stop: str) -> int:
    """Length of the longest suffix of `text` that is a proper prefix of `stop`, in characters."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
