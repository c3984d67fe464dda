"""Holds the tokens of an answer back until their text has been judged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lmcraft.inference.continuation import Token
from lmcraft.moderation.decision import Action, replace_passages
from lmcraft.server.moderation.guard import JudgedPrompt
from lmcraft.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Piece:
    """What follows in one of a request's answers."""

    tokens: Sequence[Token]
    refusal: str | None = None
    """What the client reads after the tokens in place of the rest of the answer; None: it goes on, or ends by itself."""

    @property
    def text(self) -> str:
        """The text of the tokens."""
        return "".join(token.text for token in self.tokens)

    @property
    def last_token(self) -> Token | None:
        """The last token; None if there are none."""
        return self.tokens[-1] if self.tokens else None

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ends here, as in a chat completion; None: it goes on."""
        if self.refusal is not None:
            return "content_filter"
        return self.tokens[-1].finish_reason if self.tokens else None


@dataclass(frozen=True, slots=True)
class _HeldToken:
    token: Token
    start: int
    end: int
    """Its place in the judged text, in characters."""
    is_special: bool


class HeldAnswer:
    """One answer of a generation: what the model writes, be it thoughts, text or calls, is one text for the judge.

    A special token, such as a tag around thoughts, is a line break there. A redacted passage becomes the tokens of its
    replacement, which the model has not generated: their log-probability is minus infinity.

    Args:
        prompt: that it answers.
        tokenizer: of the model.
        context: the text that it continues.
    """

    def __init__(self, prompt: JudgedPrompt, tokenizer: Tokenizer, context: str = "") -> None:
        self._prompt, self._tokenizer = prompt, tokenizer
        self._special_ids = frozenset(tokenizer.special_tokens.values())
        self._text = prompt.hold_answer(context)
        self._tokens: list[_HeldToken] = []
        self._length = 0
        self.has_ended = False

    async def put(self, tokens: Sequence[Token]) -> Piece | None:
        """Add tokens; returns what may be shown of the answer now; None if that is nothing."""
        written = ""
        for token in tokens:
            is_special = not token.text and token.id in self._special_ids and token.finish_reason is None
            text = "\n" if is_special else token.text
            start = self._length + len(written)
            self._tokens.append(_HeldToken(token, start, start + len(text), is_special))
            written += text
        self._length += len(written)
        is_last = tokens[-1].finish_reason is not None
        await self._text.put(written, flush=is_last)
        self.has_ended = is_last or self._text.refusal is not None
        if self.has_ended:
            await self._prompt.record(self._text)
        is_refused = self._text.refusal is not None
        released = [token for run in self._runs(self._take(is_last and not is_refused)) for token in self._redact(run)]
        released = await self._without_harmful_alternatives(released)
        if is_refused:
            return Piece(released, self._prompt.refusal)
        return Piece(released) if released else None

    def _take(self, is_last: bool) -> list[_HeldToken]:
        """The tokens of the released text. One without text belongs to the text that follows it."""
        released = self._text.released_chars
        count = 0
        for n, held in enumerate(self._tokens):
            if held.end > released:
                break
            if held.end > held.start or is_last:
                count = n + 1
        taken, self._tokens = self._tokens[:count], self._tokens[count:]
        return taken

    def _runs(self, tokens: Sequence[_HeldToken]) -> Iterator[list[_HeldToken]]:
        """Divide tokens into runs that share a redacted passage, or are the bytes of one character."""
        run: list[_HeldToken] = []
        for held in tokens:
            if run and (held.is_special or not (run[-1].end == run[-1].start or self._divides_passage(held.start))):
                yield run
                run = []
            run.append(held)
            if held.is_special:
                yield run
                run = []
        if run:
            yield run

    def _divides_passage(self, position: int) -> bool:
        """Whether a redacted passage begins before a position, and ends after it."""
        return any(start < position < end for start, end in self._text.passages)

    def _redact(self, run: Sequence[_HeldToken]) -> list[Token]:
        """The tokens of a run, or of what replaces it."""
        begin, end = run[0].start, run[-1].end
        passages = [
            (max(first, begin) - begin, min(last, end) - begin)
            for first, last in self._text.passages
            if first < end and last > begin
        ]
        tokens = [held.token for held in run]
        if not passages or run[0].is_special:
            return tokens
        text = replace_passages("".join(token.text for token in tokens), passages)
        ids = self._tokenizer.encode(text)
        last = tokens[-1]
        new = [Token(last.row, token_id, float("-inf"), "", None) for token_id in ids]
        return [*new[:-1], replace(new[-1], text=text, finish_reason=last.finish_reason, stop=last.stop)]

    async def _without_harmful_alternatives(self, tokens: list[Token]) -> list[Token]:
        """The tokens; if their alternatives, which the client reads, too, are not harmless, without these."""
        ids = dict.fromkeys(token_id for token in tokens for token_id, _ in token.alternatives)
        if not ids:
            return tokens
        texts = "\n".join(self._tokenizer.decode([token_id]) for token_id in ids)
        decision = await self._prompt.guard.judge(texts, "answer", self._prompt.question)
        return tokens if decision.action < Action.REDACT else [replace(token, alternatives=()) for token in tokens]
