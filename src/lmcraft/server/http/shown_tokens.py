"""Which generated tokens are part of the text of an answer: those that a stop string spells are not."""

from collections.abc import Sequence

from lmcraft.inference.continuation import Token
from lmcraft.tokenizer.tokenizer import Tokenizer


class ShownTokens:
    """Passes on the tokens of one continuation whose text is in the answer, at least in part, as soon as this is known.

    A token without text, such as the first bytes of a character or an end token, belongs to the text that follows it. The
    tokens from the beginning of the stop string that ended the answer are left out.

    Args:
        tokenizer: of the model.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._decoder = tokenizer.stream()
        self._held: list[tuple[int, Token]] = []
        """Tokens, and where the text of each begins in the continuation, in characters."""
        self._position = self._released = 0

    def put(self, tokens: Sequence[Token]) -> list[Token]:
        """Add the next tokens; returns those that are now known to be shown."""
        for token in tokens:
            self._held.append((self._position, token))
            self._position += len(self._decoder.put(token.id))
            self._released += len(token.text)
        has_ended_itself = bool(tokens) and tokens[-1].finish_reason is not None and not tokens[-1].stop
        count = len(self._held) if has_ended_itself else sum(start < self._released for start, _ in self._held)
        shown, self._held = self._held[:count], self._held[count:]
        return [token for _, token in shown]

    @property
    def held(self) -> list[Token]:
        """The tokens of which it is not known yet; after the last piece, those of the stop string."""
        return [token for _, token in self._held]
