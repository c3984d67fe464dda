"""Holds the tokens of an answer back until their text has been judged."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from lmcraft.inference.continuation import Token
from lmcraft.inference.scoring import TokenScore
from lmcraft.moderation.decision import Action, replace_passages
from lmcraft.moderation.streaming import MAX_PROMPT_CHARS
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
        prompt: of the request.
        tokenizer: of the model.
        number: of the prompt that it answers.
    """

    def __init__(self, prompt: JudgedPrompt, tokenizer: Tokenizer, number: int = 0) -> None:
        self._prompt, self._tokenizer, self._number = prompt, tokenizer, number
        self._special_ids = frozenset(tokenizer.special_tokens.values())
        self._text = prompt.hold_answer(prompt.contexts[number] if prompt.contexts else "")
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
            self._prompt.record(self._number, self._text)
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
        """The tokens without those alternatives that the client must not read."""
        ids = {token_id for token in tokens for token_id, _ in token.alternatives}
        harmful = await harmful_tokens(self._prompt, self._tokenizer, ids)
        return (
            [replace(token, alternatives=_without(token.alternatives, harmful)) for token in tokens] if harmful else tokens
        )


async def remove_harmful_alternatives(prompt: JudgedPrompt, tokenizer: Tokenizer, scores: list[TokenScore]) -> None:
    """Remove from the scores of a prompt those alternatives that the client must not read."""
    ids = {token_id for score in scores for token_id, _ in score.alternatives}
    if harmful := await harmful_tokens(prompt, tokenizer, ids):
        scores[:] = [replace(score, alternatives=_without(score.alternatives, harmful)) for score in scores]


async def harmful_tokens(
    prompt: JudgedPrompt, tokenizer: Tokenizer, token_ids: Collection[int], *, before: Sequence[int] = ()
) -> set[int]:
    """The tokens whose text is harmful in an answer; all of them if the judge cannot tell which.

    Args:
        prompt: how to judge them.
        tokenizer: of the tokens.
        token_ids: each is judged by itself.
        before: tokens that each of them would follow, and is judged with.
    """
    ids = sorted(token_ids)
    lines = [tokenizer.decode([*before, token_id]).replace("\n", " ") for token_id in ids]
    harmful: set[int] = set()
    first, length = 0, 0
    for n, line in enumerate(lines):
        length += len(line) + 1
        if n + 1 == len(lines) or length > MAX_PROMPT_CHARS:
            positions = await _harmful_lines(prompt, lines[first : n + 1])
            harmful |= {ids[first + position] for position in positions}
            first, length = n + 1, 0
    return harmful


async def _harmful_lines(prompt: JudgedPrompt, lines: Sequence[str]) -> Collection[int]:
    """The numbers of those lines that are harmful in an answer; all of them if the judge cannot tell which."""
    if not "".join(lines).strip():
        return ()
    decision = await prompt.guard.judge("\n".join(lines), "answer", prompt.question)
    if decision.action < Action.REDACT:
        return ()
    findings = [finding for finding in decision.findings if finding.category in decision.categories]
    if decision.failed or not all(finding.has_passage for finding in findings):
        return range(len(lines))
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
    return {
        n
        for finding in findings
        for n in range(bisect_right(starts, finding.start) - 1, bisect_left(starts, finding.end))
        if n < len(lines)
    }


def _without(alternatives: tuple[tuple[int, float], ...], token_ids: set[int]) -> tuple[tuple[int, float], ...]:
    return tuple((token_id, logprob) for token_id, logprob in alternatives if token_id not in token_ids)
