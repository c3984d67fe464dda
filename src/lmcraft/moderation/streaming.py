"""Holds back a text while it grows, until a judge has seen it: sentence by sentence, each with the text before it."""

import re
from collections.abc import Awaitable, Callable

from lmcraft.moderation.decision import Action, Decision, Finding, Stage, replace_passages
from lmcraft.moderation.policy import Policy

MAX_HELD_CHARS = 400  # of a text without the end of a sentence
LOOK_AHEAD_CHARS = 80  # of such a text that are judged, and held until more follows: the next passage may begin there
LOOK_BACK_CHARS = 200  # of the released text, judged again together with what follows
MAX_PROMPT_CHARS = 8000  # of a prompt that are judged together
_SENTENCE_END = re.compile(r"""[.!?…]['"”’»)\]*_]*\s|[。！？；\n]""")

Judge = Callable[[str, Stage, str], Awaitable[Decision]]
"""Decides about a text, where it stands, and what it answers."""


class HeldText:
    """A text that grows, of which only what has been judged is released.

    How the text is divided depends on nothing but the text: pieces of any size lead to the same decisions.

    Args:
        judge: decides about a passage.
        policy: the judge's.
        stage: where the text stands.
        question: what it answers.
        context: the text before it, which is judged with it, and is not part of it.
        max_held_chars: how long a sentence may be, in characters, before a part of it is judged; at least twice
            `LOOK_AHEAD_CHARS`.
        by_sentence: release each sentence by itself; otherwise as much as `max_held_chars` allows.
    """

    def __init__(
        self,
        judge: Judge,
        policy: Policy,
        stage: Stage,
        *,
        question: str = "",
        context: str = "",
        max_held_chars: int = MAX_HELD_CHARS,
        by_sentence: bool = True,
    ) -> None:
        self._judge, self._policy, self._stage, self._question = judge, policy, stage, question
        self._max_held_chars, self._by_sentence = max_held_chars, by_sentence
        self._held = ""
        self._context = _tail(context)
        self._pieces: list[str] = []
        self.released_chars = 0
        """How much of the text may be shown, in characters."""
        self.passages: list[tuple[int, int]] = []
        """The parts of the released text to replace by `REDACTION`, in order, in characters."""
        self.decisions: list[tuple[Decision, str]] = []
        """The decisions that do more than let a text pass, each with the text that was judged."""
        self.refusal: Decision | None = None
        """Why nothing more is released; None: nothing has been refused."""

    async def put(self, piece: str, *, flush: bool = False) -> None:
        """Add a piece, and judge what it completes. After a refusal it does nothing.

        Args:
            piece: what follows.
            flush: judge everything that is held back, since nothing more follows for now.
        """
        self._held += piece
        self._pieces.append(piece)
        while self.refusal is None and (end := self._next_end(flush)):
            await self._judge_next(*end)

    @property
    def text(self) -> str:
        """All pieces so far."""
        return "".join(self._pieces)

    def _next_end(self, flush: bool) -> tuple[int, int] | None:
        """How much of the held text to judge next, and how much of that to release; None: it may still grow."""
        limit = self._max_held_chars
        if self._by_sentence and (match := _SENTENCE_END.search(self._held, 0, limit)) is not None:
            return match.end(), match.end()
        if len(self._held) > limit:
            return limit, _last_border(self._held, limit - LOOK_AHEAD_CHARS)
        return (len(self._held), len(self._held)) if flush and self._held else None

    async def _judge_next(self, end: int, release: int) -> None:
        """Judge the first `end` characters that are held, and release the first `release` of them."""
        segment = self._held[:end]
        passages: list[tuple[int, int]] = []
        if segment.strip():
            decision, judged, offset = await self._decide(segment)
            if decision.action > Action.ALLOW:
                self.decisions.append((decision, judged))
            if not decision.passes:
                self.refusal, self._held = decision, ""
                return
            passages = [(max(0, start - offset), stop - offset) for start, stop in decision.passages]
            passages = [(start, stop) for start, stop in passages if start < release]
            release = max([release, *(stop for _, stop in passages)])
        self._release(release, passages)

    def _release(self, length: int, passages: list[tuple[int, int]]) -> None:
        text, self._held = self._held[:length], self._held[length:]
        self.passages += [(self.released_chars + start, self.released_chars + stop) for start, stop in passages]
        self.released_chars += length
        self._context = _tail(self._context + replace_passages(text, passages))

    async def _decide(self, segment: str) -> tuple[Decision, str, int]:
        """The decision about a segment, the text that was judged, and where the segment begins in it.

        What the judge finds in the text before has been decided already.
        """
        context, judged = self._context, self._context + segment
        decision = await self._judge(judged, self._stage, self._question)
        if decision.failed or all(_is_new(finding, len(context)) for finding in decision.findings):
            return decision, judged, len(context)
        new = [finding for finding in decision.findings if _is_new(finding, len(context))]
        about_new = self._policy.decide(self._stage, new, decision.tiers)
        if decision.action is Action.REFUSE and about_new.action is not Action.REFUSE:
            # The text before may have spared the other tiers.
            return await self._judge(segment, self._stage, self._question), segment, 0
        return about_new, judged, len(context)


def _is_new(finding: Finding, offset: int) -> bool:
    return not finding.has_passage or finding.end > offset


def _last_border(text: str, limit: int) -> int:
    """The position after the last white space of the first `limit` characters; `limit` if there is none."""
    head = text[:limit].rstrip()
    border = max((head.rfind(space) for space in " \t\n"), default=-1)
    return border + 1 if border > 0 else limit


def _tail(text: str) -> str:
    """The last `LOOK_BACK_CHARS` characters of a text, from the beginning of a word on."""
    if len(text) <= LOOK_BACK_CHARS:
        return text
    tail = text[-LOOK_BACK_CHARS:]
    border = tail.find(" ")
    return tail[border + 1 :] if border >= 0 else tail
