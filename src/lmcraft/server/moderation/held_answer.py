"""Holds the tokens of an answer back until their text has been judged."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from lmcraft.inference.continuation import Token
from lmcraft.inference.scoring import TokenScore
from lmcraft.moderation.decision import Action, Finding, replace_passages
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
    prompt: JudgedPrompt,
    tokenizer: Tokenizer,
    token_ids: Collection[int],
    *,
    before: Sequence[int] = (),
    max_judgments: int = 1,
) -> set[int]:
    """The tokens whose text is harmful in an answer; more of them if the judge cannot tell which.

    Args:
        prompt: how to judge them.
        tokenizer: of the tokens.
        token_ids: each is judged by itself.
        before: tokens that each of them would follow, and is judged with.
        max_judgments: how many texts to judge about, apart from very long ones, to find out which tokens are harmful.
    """
    ids = sorted(token_ids)
    lines = [tokenizer.decode([*before, token_id]).replace("\n", " ") for token_id in ids]
    judged = _JudgedLines(prompt, lines, max_judgments)
    first = length = 0
    for stop, line in enumerate(lines, 1):
        length += len(line) + 1
        if stop == len(lines) or length > MAX_PROMPT_CHARS:
            await judged.judge(range(first, stop))
            first, length = stop, 0
    return {ids[n] for n in judged.harmful}


class _JudgedLines:
    """Independent texts that are judged together, and halved where that leaves open which of them are harmful.

    Args:
        prompt: how to judge them.
        lines: the texts.
        max_judgments: the number of judgments after which all lines count as harmful that may be.
    """

    def __init__(self, prompt: JudgedPrompt, lines: Sequence[str], max_judgments: int) -> None:
        self._prompt, self._lines, self._max_judgments = prompt, lines, max_judgments
        self._judgments = 0
        self.harmful: set[int] = set()

    async def judge(self, numbers: range) -> None:
        """Add those of these lines that are harmful."""
        text = "\n".join(self._lines[n] for n in numbers)
        if not text.strip():
            return
        self._judgments += 1
        decision = await self._prompt.guard.judge(text, "answer", self._prompt.question)
        if decision.action < Action.REDACT:
            return
        findings = [finding for finding in decision.findings if finding.category in decision.categories]
        if decision.failed or len(numbers) == 1:
            self.harmful |= set(numbers)
            return
        spans = [self._span(numbers, finding) if finding.has_passage else numbers for finding in findings] or [numbers]
        for span in _merge(spans):
            if len(span) == 1 or self._judgments >= self._max_judgments:
                self.harmful |= set(span)
            else:
                middle = (span.start + span.stop) // 2
                for half in (range(span.start, middle), range(middle, span.stop)):
                    await self.judge(half)

    def _span(self, numbers: range, finding: Finding) -> range:
        """The lines in which a finding is."""
        starts = list(accumulate((len(self._lines[n]) + 1 for n in numbers), initial=0))
        first, stop = bisect_right(starts, finding.start) - 1, bisect_left(starts, finding.end)
        return numbers[first : max(stop, first + 1)]


def _merge(spans: Sequence[range]) -> list[range]:
    """The spans, with those that overlap as one."""
    merged: list[range] = []
    for span in sorted(spans, key=lambda span: span.start):
        if merged and span.start < merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(merged[-1].stop, span.stop))
        else:
            merged.append(span)
    return merged


def _without(alternatives: tuple[tuple[int, float], ...], token_ids: set[int]) -> tuple[tuple[int, float], ...]:
    return tuple((token_id, logprob) for token_id, logprob in alternatives if token_id not in token_ids)
