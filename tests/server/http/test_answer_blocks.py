"""Answers divided into texts and calls."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lmcraft.inference.continuation import Token
from lmcraft.inference.thought_format import FORMATS
from lmcraft.inference.thoughts import Thinking
from lmcraft.server.http.answer_blocks import (
    AnswerBlocks,
    BlockEnd,
    BlockStart,
    TextBlock,
    TextDelta,
    ThoughtBlock,
    ThoughtDelta,
)
from lmcraft.server.http.protocol.chat import ChatRequest
from lmcraft.server.http.tool_calls import Call
from lmcraft.server.moderation.held_answer import Piece
from tests.finetuning.chat import CHATML, chat_tokenizer

CALL = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
TOOLS = [{"type": "function", "function": {"name": "f"}}]


class Generation:
    """A generation whose tokens have these texts."""

    def __init__(self, texts: list[str]) -> None:
        tokenizer = chat_tokenizer(CHATML + "{# <think></think> #}")
        self.served = SimpleNamespace(model=SimpleNamespace(tokenizer=tokenizer))
        self.prepared = SimpleNamespace(prompts=[[]], thinking=Thinking(FORMATS["qwen3"], is_open=False))
        self._texts = texts

    async def __aiter__(self) -> AsyncIterator[tuple[int, Piece]]:
        for n, text in enumerate(self._texts):
            last = n == len(self._texts) - 1
            yield 0, Piece([Token(0, n, -1.0, text, "stop" if last else None, stop="END" if last else "")])


def read(texts: list[str], **fields: Any) -> tuple[AnswerBlocks, list[Any]]:
    """The answer with these tokens, and its events."""
    chat = ChatRequest.model_validate({"messages": [{"role": "user", "content": "q"}], **fields})
    answer = AnswerBlocks(cast(Any, Generation(texts)), chat)

    async def collect() -> list[Any]:
        return [event async for event in answer]

    return answer, asyncio.run(collect())


def names(answer: AnswerBlocks) -> list[str]:
    """The text of each block; of a call, its name in brackets; of thoughts, their text in parentheses."""
    marks = {TextBlock: "{}", ThoughtBlock: "({})", Call: "[{}]"}
    return [marks[type(block)].format(getattr(block, "text", None) or getattr(block, "name", "")) for block in answer.blocks]


@pytest.mark.parametrize(
    ("texts", "blocks"),
    [
        (["Hello", " you", ""], ["Hello you"]),
        ([""], [""]),
        (["\n", "", ""], ["\n"]),
        ([CALL, ""], ["[f]"]),
        (["\n", CALL, "\n", CALL, ""], ["[f]", "[f]"]),
        (["I call.", "\n", CALL, ""], ["I call.\n", "[f]"]),
        (["<think>", "why", "?", "</think>", "\n\n", "So", "."], ["(why?)", "So."]),
        (["<think>why</think>So."], ["(why)", "So."]),
        (["<think>", CALL, "</think>", CALL, ""], [f"({CALL})", "[f]"]),
        (["<think>", "cut", ""], ["(cut)"]),
    ],
)
def test_an_answer_is_divided_into_texts_and_calls(texts: list[str], blocks: list[str]) -> None:
    answer, events = read(texts, tools=TOOLS)
    assert names(answer) == blocks and answer.stop == "END"
    assert [event.index for event in events if isinstance(event, BlockStart)] == list(range(len(blocks)))
    assert [event.block for event in events if isinstance(event, BlockEnd)] == answer.blocks
    for delta, kind in ((TextDelta, TextBlock), (ThoughtDelta, ThoughtBlock)):
        streamed = "".join(event.text for event in events if isinstance(event, delta))
        assert streamed == "".join(block.text for block in answer.blocks if isinstance(block, kind))
    assert [call.name for call in answer.calls] == [block[1] for block in blocks if block.startswith("[")]


def test_each_piece_of_text_has_the_logprobs_of_its_tokens() -> None:
    answer, events = read(["", "a", "b", ""], logprobs=True)
    assert [len(event.logprobs) for event in events if isinstance(event, TextDelta)] == [2, 1]
    block = answer.blocks[0]
    assert isinstance(block, TextBlock) and len(block.logprobs) == 3
