"""Tokens to text, piece by piece, up to the first stop string."""

from collections.abc import Sequence

from lmcraft.tokenizer.tokenizer import Tokenizer


class TextStream:
    """The text of one continuation as its tokens come.

    The pieces joined are the whole text, whatever the tokens: it ends before the stop string that is completed first,
    and no piece shows a beginning of one that may yet be completed. No piece is half a character.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self._decoder = tokenizer.stream()
        self._stop = stop
        self._held = ""
        self.stopped = False
        """Whether a stop string has come."""

    def put(self, token_id: int) -> str:
        """The text that is certain now."""
        return self._take(self._decoder.put(token_id))

    def end(self) -> str:
        """The rest, when there are no more tokens."""
        text = self._take(self._decoder.end())
        held, self._held = self._held, ""
        return text + held

    def _take(self, piece: str) -> str:
        if self.stopped:
            return ""
        if not self._stop:
            return piece
        text = self._held + piece
        found = [(at + len(stop), at) for stop in self._stop if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)[1]]
        certain = len(text) - max(overlap(text, stop) for stop in self._stop)
        self._held = text[certain:]
        return text[:certain]


def overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` begin `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
