"""Detokenize a continuation token by token, and end its text at the first stop string."""

from collections.abc import Sequence

from lmcraft.tokenizer.tokenizer import Tokenizer


class TextStream:
    """The text of one continuation, released as its tokens arrive.

    The released pieces add up to the whole text, which ends before the first complete stop string. Text that may be the
    beginning of a stop string is held back, and so are incomplete characters. Special tokens are no part of the text, but
    stop strings may spell them.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self._decoder = tokenizer.stream()
        self._stop = stop
        self._spellings = {token_id: token for token, token_id in tokenizer.special_tokens.items()} if stop else {}
        self._pending = ""
        self._hidden: list[bool] = []  # for each pending character: whether it spells a special token
        self.stopped_by = ""
        """The stop string that ended the text; empty while there is none."""

    def put(self, token_id: int) -> str:
        """Add a token; returns the text that can be released."""
        text = self._release(self._decoder.put(token_id))
        if token_id in self._spellings:
            text += self._release(self._spellings[token_id], hidden=True)
        return text

    def end(self) -> str:
        """The remaining text, after the last token."""
        return self._release(self._decoder.end()) + self._take(len(self._pending))

    def _release(self, piece: str, *, hidden: bool = False) -> str:
        if self.stopped_by:
            return ""
        if not self._stop:
            return piece
        self._pending += piece
        self._hidden += [hidden] * len(piece)
        matches = [(start + len(stop), start, stop) for stop in self._stop if (start := self._pending.find(stop)) >= 0]
        if matches:
            _, start, self.stopped_by = min(matches)
            text = self._take(start)
            self._pending = ""
            return text
        return self._take(len(self._pending) - max(overlap(self._pending, stop) for stop in self._stop))

    def _take(self, length: int) -> str:
        """Remove the first pending characters; returns those that are part of the text."""
        taken, self._pending = self._pending[:length], self._pending[length:]
        hidden, self._hidden = self._hidden[:length], self._hidden[length:]
        if True not in hidden:
            return taken
        return "".join(character for character, hides in zip(taken, hidden, strict=True) if not hides)


def overlap(text: str, stop: str) -> int:
    """Length of the longest suffix of `text` that is a proper prefix of `stop`, in characters."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
