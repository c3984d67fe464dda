"""What a chat template leaves out of a conversation, and what it adds by itself."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from lmcraft.errors import UserError
from lmcraft.finetuning.messages import Message

Render = Callable[[Sequence[Message], Sequence[Mapping[str, Any]]], str]
"""Renders messages and tools, without the header of a next answer."""
REASONING = ("reasoning_content", "reasoning", "thinking")
MARK = "mark"


def check_rendered(
    render: Render,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]],
    text: str,
    learned: Collection[int] = (),
) -> None:
    """Check that a template renders everything that a conversation says: content, tool calls, and the reasoning of answers
    that are learned.

    A part is rendered if changing it changes the text.

    Args:
        render: renders messages and tools.
        messages: of the conversation.
        tools: of the conversation.
        text: the conversation as rendered.
        learned: indices of the learned answers.

    Raises:
        UserError: it leaves something out; the message names it.
    """
    for number, message in enumerate(messages, start=1):
        for part, changed in _changed_parts(message, text, reasoning=number - 1 in learned):
            if _renders_to(render, [*messages[: number - 1], changed, *messages[number:]], tools, text):
                raise UserError(
                    f"the chat template leaves out {part} of message {number} ({message['role']}): remove it, or use a "
                    "model or a --chat-template that renders it"
                )


def _changed_parts(message: Message, text: str, *, reasoning: bool) -> Iterator[tuple[str, Message]]:
    """The name of each part of a message that may be left out of the text, and the message with that part changed."""
    content = message["content"]
    if content.strip() and content.strip() not in text:
        yield "the content", {**message, "content": content + MARK}
    if reasoning:
        for key in REASONING:
            if message.get(key):
                yield f"the {key}", {**message, key: f"{message[key]}{MARK}"}
    calls = message.get("tool_calls", ())
    for index, call in enumerate(calls):
        function = call["function"]
        changed = {**call, "function": {**function, "arguments": {**function["arguments"], MARK: MARK}}}
        yield (
            f"the tool call '{function['name']}'",
            {**message, "tool_calls": [*calls[:index], changed, *calls[index + 1 :]]},
        )


def _renders_to(render: Render, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], text: str) -> bool:
    try:
        return render(messages, tools) == text
    except UserError:  # the template checks what was changed, so it reads it
        return False


def added_system_message(render: Render) -> str:
    """The system message that a template adds to conversations without one; empty if it adds none."""
    question: Message = {"role": "user", "content": "question"}
    try:
        without, explicit = render([question], ()), render([{"role": "system", "content": MARK}, question], ())
    except UserError:  # the template takes no system message, or no conversation without an answer
        return ""
    before, mark, after = explicit.partition(MARK)
    if not mark or not without.startswith(before) or not without.endswith(after) or len(without) <= len(before + after):
        return ""
    return without[len(before) : len(without) - len(after)].strip()
