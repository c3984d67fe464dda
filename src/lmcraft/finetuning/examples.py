"""The types of training examples, and what is done with them before they become tokens."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lmcraft.errors import UserError
from lmcraft.finetuning.messages import Message

PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
Tools = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Conversation:
    """Messages of role and content; the model learns the assistant's."""

    messages: tuple[Message, ...]
    tools: Tools = ()
    origin: str = field(default="", compare=False, repr=False)
    """File and line, or row, of an example."""


@dataclass(frozen=True)
class Preference:
    """A prompt with two answers; `chosen` is the better one."""

    prompt: tuple[Message, ...]
    chosen: Message
    rejected: Message
    tools: Tools = field(default=(), repr=False)
    origin: str = field(default="", compare=False, repr=False)

    def conversations(self) -> tuple[Conversation, Conversation]:
        """The prompt with the chosen and with the rejected answer."""
        return (
            Conversation((*self.prompt, self.chosen), self.tools),
            Conversation((*self.prompt, self.rejected), self.tools),
        )


@dataclass(frozen=True)
class Judgment:
    """A conversation whose last answer is desirable or not."""

    messages: tuple[Message, ...]
    desirable: bool
    tools: Tools = field(default=(), repr=False)
    origin: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True)
class Labeled:
    """A text with its label; several labels, or none, if a text can have any number of them."""

    text: str
    labels: tuple[str, ...]
    origin: str = field(default="", compare=False, repr=False)


Example = Conversation | Preference | Judgment | Labeled
KINDS: dict[type, str] = {
    Conversation: "conversations",
    Preference: "preferences",
    Judgment: "judgments",
    Labeled: "labels",
}


def add_system_message(examples: Sequence[Example], system: str) -> list[Example]:
    """The same examples, with `system` as the first message of each conversation that does not begin with one."""

    def prepend(messages: tuple[Message, ...]) -> tuple[Message, ...]:
        if messages and messages[0]["role"] == "system":
            return messages
        return ({"role": "system", "content": system}, *messages)

    results: list[Example] = []
    for example in examples:
        match example:
            case Conversation() | Judgment():
                results.append(replace(example, messages=prepend(example.messages)))
            case Preference():
                results.append(replace(example, prompt=prepend(example.prompt)))
            case _:
                results.append(example)
    return results


def dialog(example: Example) -> tuple[dict[str, object], ...]:
    """The messages of an example up to its last (or chosen) answer; all of them if there is no answer."""
    match example:
        case Conversation(messages=messages) | Judgment(messages=messages):
            answers = [n for n, message in enumerate(messages, start=1) if message["role"] == "assistant"]
            return tuple(map(dict, messages[: max(answers, default=len(messages))]))
        case Preference(prompt=prompt, chosen=chosen):
            return (*map(dict, prompt), dict(chosen))
        case _:
            raise AssertionError(example)


def preview(example: Example, max_chars: int = 300) -> str:
    """An example on one line."""
    match example:
        case Labeled(text=text, labels=labels):
            line = f"{text[:max_chars]!r}: {', '.join(labels) or 'no label'}"
        case _:
            line = " | ".join(f"{message['role']}: {describe_message(message, max_chars)}" for message in dialog(example))
    return line if len(line) <= max_chars else line[:max_chars] + "..."


def describe_message(message: Mapping[str, Any], max_chars: int) -> str:
    """Content and tool calls of a message on one line."""
    content, calls = str(message["content"]), _describe_calls(message)
    return f"{content[:max_chars]!r} {calls}".strip() if content or not calls else calls


def answer_text(message: Mapping[str, Any]) -> str:
    """The content of an answer, or its tool calls."""
    return str(message["content"]) or _describe_calls(message)


def _describe_calls(message: Mapping[str, Any]) -> str:
    functions = [call["function"] for call in message.get("tool_calls", ())]
    return " ".join(f"{function['name']}({json.dumps(function['arguments'], ensure_ascii=False)})" for function in functions)


def substitute(example: Example, variables: Mapping[str, str]) -> Example:
    """The example with {{name}} replaced in its messages, if there are any variables.

    Raises:
        UserError: a {{name}} has no value.
    """

    def replacement(match: re.Match[str]) -> str:
        if match[1] not in variables:
            raise UserError(f"it has the placeholder {match[0]}, which has no value: give --variables.{match[1]} VALUE")
        return variables[match[1]]

    def fill(message: Message) -> Message:
        return {**message, "content": PLACEHOLDER.sub(replacement, str(message["content"]))}

    if not variables:
        return example
    match example:
        case Conversation() | Judgment():
            return replace(example, messages=tuple(map(fill, example.messages)))
        case Preference():
            return replace(
                example,
                prompt=tuple(map(fill, example.prompt)),
                chosen=fill(example.chosen),
                rejected=fill(example.rejected),
            )
        case _:
            return example
