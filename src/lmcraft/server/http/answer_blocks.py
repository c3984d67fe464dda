"""An answer as a sequence of blocks, thoughts, texts and calls: the form of /v1/responses and /v1/messages."""

from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from lmcraft.server.http.chat_answer import ChatChoice
from lmcraft.server.http.openai_format import chat_logprob
from lmcraft.server.http.protocol.chat import ChatRequest
from lmcraft.server.http.shown_tokens import ShownTokens
from lmcraft.server.http.state import Generation
from lmcraft.server.http.tool_calls import Call


@dataclass
class TextBlock:
    """A text of the answer, as far as it is generated."""

    text: str = ""
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    """As in a chat completion's `logprobs.content`, if the request asks for them."""


@dataclass
class ThoughtBlock:
    """What the model thought before the answer, as far as it is generated."""

    text: str = ""


@dataclass
class RefusalBlock:
    """What the policy says in place of the rest of the answer."""

    text: str = ""


Block = TextBlock | ThoughtBlock | RefusalBlock | Call


@dataclass(frozen=True)
class BlockStart:
    """A block begins; a text is empty, a call is whole."""

    index: int
    block: Block


@dataclass(frozen=True)
class TextDelta:
    """A piece of the text block that was started last."""

    index: int
    text: str
    logprobs: list[dict[str, Any]]


@dataclass(frozen=True)
class ThoughtDelta:
    """A piece of the block of thoughts."""

    index: int
    text: str


@dataclass(frozen=True)
class RefusalDelta:
    """The text of the refusal that was started last."""

    index: int
    text: str


@dataclass(frozen=True)
class BlockEnd:
    """A block is complete."""

    index: int
    block: Block


BlockEvent = BlockStart | TextDelta | ThoughtDelta | RefusalDelta | BlockEnd


class AnswerBlocks:
    """Divides one answer into blocks while it is generated.

    There is at least one block; thoughts are the first, a refusal is the last. White space between two calls, or before
    the first one, is no block of its own.

    Args:
        generation: has started.
        chat: the request that it answers.
    """

    def __init__(self, generation: Generation, chat: ChatRequest) -> None:
        self._generation, self._with_logprobs = generation, chat.logprobs
        self._choice = ChatChoice.start(chat, generation)
        self._white_space = ""
        """Text that belongs to the next text block, if there is one."""
        self._logprobs: list[dict[str, Any]] = []
        """Of the tokens whose text has not been released."""
        self.blocks: list[Block] = []
        self.stop = ""
        """The stop string that ended the answer."""

    @property
    def finish_reason(self) -> str | None:
        """As in a chat completion, once the answer is complete."""
        return self._choice.finish_reason

    @property
    def refusal(self) -> str | None:
        """What the policy says in place of the rest of the answer; None if it refuses nothing."""
        return self._choice.refusal

    @property
    def thought_tokens(self) -> int:
        """How many of the tokens are thoughts."""
        return self._choice.thought_tokens

    @property
    def calls(self) -> list[Call]:
        """The calls so far."""
        return [block for block in self.blocks if isinstance(block, Call)]

    async def __aiter__(self) -> AsyncIterator[BlockEvent]:
        """Yield the events of the blocks, each as soon as it is known."""
        tokenizer = self._generation.served.model.tokenizer
        shown = ShownTokens(tokenizer)
        async for _, piece in self._generation:
            if self._with_logprobs:
                self._logprobs += [chat_logprob(tokenizer, token, with_ids=False) for token in shown.put(piece.tokens)]
            thoughts, text, calls = self._choice.add(piece)
            self.stop = piece.tokens[-1].stop if piece.tokens else ""
            for event in self._add(thoughts, text, calls):
                yield event
            for event in self._add_refusal(piece.refusal):
                yield event
        for event in self._end():
            yield event

    async def collect(self) -> None:
        """Generate the whole answer."""
        async for _ in self:
            pass

    def _add(self, thoughts: str, text: str, calls: list[Call]) -> Iterator[BlockEvent]:
        if thoughts:
            yield from self._add_thoughts(thoughts)
        if text:
            yield from self._add_text(text)
        for call in calls:
            yield from self._end_block()
            self._white_space, self._logprobs = "", []
            self.blocks.append(call)
            yield BlockStart(len(self.blocks) - 1, call)
            yield BlockEnd(len(self.blocks) - 1, call)

    def _add_text(self, text: str) -> Iterator[BlockEvent]:
        if not isinstance(block := self._last_block(), TextBlock):
            text = self._white_space + text
            if not text.strip():
                self._white_space = text
                return
            block = yield from self._start_text()
        block.text += text
        block.logprobs += self._logprobs
        yield TextDelta(len(self.blocks) - 1, text, self._logprobs)
        self._logprobs = []

    def _add_thoughts(self, text: str) -> Iterator[BlockEvent]:
        if not isinstance(block := self._last_block(), ThoughtBlock):
            block = ThoughtBlock()
            self.blocks.append(block)
            yield BlockStart(len(self.blocks) - 1, block)
        block.text += text
        self._logprobs = []
        yield ThoughtDelta(len(self.blocks) - 1, text)

    def _add_refusal(self, text: str | None) -> Iterator[BlockEvent]:
        if text is None:
            return
        yield from self._end_block()
        block = RefusalBlock()
        self.blocks.append(block)
        yield BlockStart(len(self.blocks) - 1, block)
        block.text = text
        yield RefusalDelta(len(self.blocks) - 1, text)

    def _start_text(self) -> Generator[BlockEvent, None, TextBlock]:
        yield from self._end_block()
        block = TextBlock()
        self.blocks.append(block)
        yield BlockStart(len(self.blocks) - 1, block)
        return block

    def _end_block(self) -> Iterator[BlockEvent]:
        """End the last block; a call has ended already."""
        if (block := self._last_block()) is not None and not isinstance(block, Call):
            yield BlockEnd(len(self.blocks) - 1, block)

    def _end(self) -> Iterator[BlockEvent]:
        if not self.blocks:
            block = yield from self._start_text()
            if self._white_space:
                block.text = self._white_space
                yield TextDelta(0, block.text, [])
        yield from self._end_block()

    def _last_block(self) -> Block | None:
        return self.blocks[-1] if self.blocks else None
