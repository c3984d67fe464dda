"""Holds back what another engine answers until it has been judged: whole responses, and the events of streams."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from lmcraft.moderation.decision import REDACTION, replace_passages
from lmcraft.moderation.streaming import HeldText
from lmcraft.server.moderation.forwarded_formats import AnswerFormat, Slots
from lmcraft.server.moderation.forwarded_texts import Json, TextSlot, remove_tokens, text_slots
from lmcraft.server.moderation.guard import JudgedPrompt


@dataclass
class _GrowingText:
    """A text of an answer, such as its content or its reasoning, that arrives in pieces."""

    held: HeldText
    text: str = ""

    async def put(self, piece: str) -> None:
        self.text += piece
        await self.held.put(piece)

    def shown(self, start: int, end: int) -> str:
        """What may be shown of text[start:end]; a redaction stands where its passage begins."""
        end = min(end, self.held.released_chars)
        shown, position = "", start
        for first, last in self.held.passages:
            if last > position and first < end:
                shown += self.text[position : max(first, position)] + (REDACTION if first >= start else "")
                position = min(last, end)
        return shown + self.text[position:end]


@dataclass
class _Piece:
    """A piece of a growing text in an event."""

    answer: int
    slot: TextSlot
    growing: _GrowingText
    start: int
    end: int

    @property
    def is_released(self) -> bool:
        return self.end <= self.growing.held.released_chars


@dataclass
class _Event:
    event: Json
    pieces: list[_Piece] = field(default_factory=list)
    refuses: int | None = None
    """Not an event of the engine: this answer ends here with the refusal."""


class ForwardedAnswer:
    """What the engine answers to one request.

    Args:
        answer_format: of the endpoint.
        prompt: as it was judged.
        body: the request.
    """

    def __init__(self, answer_format: AnswerFormat, prompt: JudgedPrompt, body: Json) -> None:
        self._format, self._prompt, self._body = answer_format, prompt, body
        self._growing: dict[tuple[int, str], _GrowingText] = {}
        self._current: dict[int, str] = {}
        self._queue: list[_Event] = []
        self._sent: list[Json] = []
        self._shown_texts: dict[str, str] = {}
        """What is shown of complete texts, which the events at the end of a stream repeat."""
        self._num_each = int(body.get("n") or 1)
        self._refused = {n for n in range(answer_format.count(body)) if n // self._num_each in prompt.refused}
        self._noted: set[int] = set()
        """The refused answers whose refusals are in the queue, or sent."""

    @property
    def has_ended(self) -> bool:
        """Whether all answers have been refused."""
        return len(self._refused) >= self._format.count(self._body)

    def refuse_prompt(self) -> Json | list[Json]:
        """The response to a refused prompt: its events if the request asks for a stream."""
        if self._body.get("stream"):
            return self._format.events(self._body, self._prompt.refusal, [], None)
        return self._format.refused(self._body, self._prompt.refusal)

    async def judge_response(self, response: Json) -> Json:
        """A whole response, as far as it may be shown."""
        await self._judge_all(response, self._format.slots(response, is_stream=False))
        if not self._refused:
            return response
        return self._format.cut(response, dict.fromkeys(self._refused, self._prompt.refusal))

    async def judge_stored(self, stored: Json) -> Json | None:
        """What the engine has stored, a response or a list of items; None if it is refused."""
        parts = {name: stored[name] for name in ("choices", "data", "output") if name in stored}
        await self._judge_all(stored, ((0, slot, False) for slot in text_slots(parts)))
        return None if self._refused else stored

    async def _judge_all(self, response: Json, slots: Slots) -> None:
        """Judge complete texts, and put what may be shown in their place."""
        remove_tokens(response)
        texts: dict[int, list[HeldText]] = {}
        for answer, slot, _ in list(slots):
            if answer in self._refused:
                slot.replace("")
                continue
            held = await self._judge_complete(answer, slot)
            texts.setdefault(answer, []).append(held)
        for answer, answer_texts in texts.items():
            self._prompt.record(answer // self._num_each, *answer_texts)

    async def put(self, event: Json) -> list[Json]:
        """Add the next event of the stream; returns the events that may be sent now."""
        remove_tokens(event)
        pending = _Event(event)
        for answer, slot, is_piece in list(self._format.slots(event, is_stream=True)):
            if answer in self._refused or not slot.text:
                continue
            if is_piece:
                pending.pieces.append(await self._add_piece(answer, slot))
            elif slot.text in self._shown_texts:
                slot.replace(self._shown_texts[slot.text])
            else:
                await self._judge_complete(answer, slot)
        for answer in self._format.ended(event):
            await self._flush(answer)
        self._queue.append(pending)
        self._queue_refusals()
        return list(self._release())

    async def end(self) -> list[Json]:
        """The stream has ended; returns the events that were held back."""
        for answer in list(self._current):
            await self._flush(answer)
            if answer not in self._refused:
                self._record(answer)
        self._queue_refusals()
        return list(self._release())

    async def _judge_complete(self, answer: int, slot: TextSlot) -> HeldText:
        """Judge a complete text, and put what may be shown in its place."""
        text, held = slot.text, self._prompt.hold_answer()
        await held.put(text, flush=True)
        self._shown_texts[text] = replace_passages(text[: held.released_chars], held.passages)
        slot.replace(self._shown_texts[text])
        self._note(answer, held)
        return held

    async def _add_piece(self, answer: int, slot: TextSlot) -> _Piece:
        """Add a piece to a text; the text that grew before it is complete for now."""
        if self._current.get(answer, slot.path) != slot.path:
            await self._flush(answer)
        self._current[answer] = slot.path
        if (answer, slot.path) not in self._growing:
            self._growing[answer, slot.path] = _GrowingText(self._prompt.hold_answer(self._context(answer)))
        growing = self._growing[answer, slot.path]
        start = len(growing.text)
        if answer not in self._refused:
            await growing.put(slot.text)
            self._note(answer, growing.held)
        return _Piece(answer, slot, growing, start, len(growing.text))

    def _context(self, answer: int) -> str:
        """The text that an answer continues."""
        released, prompt = self._prompt.released, self._body.get("prompt")
        if prompt is not None and not self._body.get("suffix"):
            return "".join(released[answer // self._num_each]) if released else ""
        messages = self._body.get("messages")
        continues = isinstance(messages, list) and messages and messages[-1].get("role") == "assistant"
        return "".join(released[-1]) if continues and released else ""

    def _note(self, answer: int, held: HeldText) -> None:
        if held.refusal is not None:
            self._refused.add(answer)

    async def _flush(self, answer: int) -> None:
        """Judge what is held back of the text that an answer has grown last."""
        growing = self._growing.get((answer, self._current.get(answer, "")))
        if growing is not None:
            await growing.held.put("", flush=True)
            self._note(answer, growing.held)
            self._shown_texts[growing.text] = growing.shown(0, len(growing.text))

    def _queue_refusals(self) -> None:
        for answer in sorted(self._refused - self._noted):
            self._noted.add(answer)
            self._queue.append(_Event({}, refuses=answer))
            self._record(answer)

    def _record(self, answer: int) -> None:
        if texts := [growing.held for (n, _), growing in self._growing.items() if n == answer]:
            self._prompt.record(answer // self._num_each, *texts)

    def _release(self) -> Iterator[Json]:
        """Take the events from the queue that may be sent."""
        while self._queue:
            pending = self._queue[0]
            if any(not piece.is_released and piece.answer not in self._refused for piece in pending.pieces):
                return
            del self._queue[0]
            for event in self._finish(pending):
                self._sent.append(event)
                yield event

    def _finish(self, pending: _Event) -> list[Json]:
        """The event as it is sent; none if a refusal takes its place."""
        if pending.refuses is not None:
            return self._format.events(self._body, self._prompt.refusal, self._sent, pending.refuses)
        event: Json | None = pending.event
        shown: dict[int, str] = {}
        for piece in pending.pieces:
            text = piece.growing.shown(piece.start, piece.end)
            piece.slot.replace(text)
            shown[piece.answer] = shown.get(piece.answer, "") + text
        for answer in self._refused:
            if event is not None:
                event = self._format.reopen(event, answer) if shown.get(answer) else self._format.without(event, answer)
        return [] if event is None else [event]
