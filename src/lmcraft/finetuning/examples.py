"""Training examples, recognized by the fields of their rows.

| format | fields of a row | becomes |
|---|---|---|
| messages | `messages` of role and content (OpenAI), or `conversations` of from and value (ShareGPT) | `Conversation` |
| Alpaca | `instruction`, `output`, and optionally `input`, `system`, `history` | `Conversation` |
| prompt-completion | `prompt` and `completion` | `Conversation` |
| preferences | `chosen` and `rejected`, and a prompt in any of these formats | `Preference` |
| judgments (KTO) | a conversation in any of these formats, and a `label` of true or false | `Judgment` |
| labels | `text` and `label` (or a list of `labels`) | `Labeled` |
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError

ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "function_call": "assistant",
    "observation": "tool",
}
BOOLEANS = {"true": True, "false": False}
PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
FORMATS = "messages; conversations; instruction, output; prompt, completion; chosen, rejected; text, label"
Message = Mapping[str, Any]


@dataclass(frozen=True)
class Conversation:
    """Messages of role and content; the model learns the assistant's."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Preference:
    """A prompt with two answers; `chosen` is the better one."""

    prompt: tuple[Message, ...]
    chosen: Message
    rejected: Message


@dataclass(frozen=True)
class Judgment:
    """A conversation whose last answer is desirable or not."""

    messages: tuple[Message, ...]
    desirable: bool


@dataclass(frozen=True)
class Labeled:
    """A text with its label; several labels, or none, if a text can have any number of them."""

    text: str
    labels: tuple[str, ...]


Example = Conversation | Preference | Judgment | Labeled
KINDS: dict[type, str] = {
    Conversation: "conversations",
    Preference: "preferences",
    Judgment: "judgments",
    Labeled: "labels",
}


def read_examples(paths: Sequence[Path], variables: Mapping[str, str] | None = None) -> list[Example]:
    """The examples of all files, in order.

    Args:
        paths: .jsonl, .json, .csv, .tsv or .parquet files, compressed or not.
        variables: replacements for {{name}} in the texts.

    Raises:
        UserError: a file cannot be read, a row's format is unknown, rows have different formats, or a {{name}} has no value.
    """
    from lmcraft.data.documents import ReadStats  # imported here, so that --help does not import numpy
    from lmcraft.data.sources import read_table

    stats, examples = ReadStats("fail"), []
    for path in paths:
        for line, row in read_table(path, stats):
            try:
                examples.append(_substitute(parse_example(row), variables or {}))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                reason = str(error) if isinstance(error, UserError) else f"it is damaged ({error!r})"
                raise UserError(f"{path}:{line} cannot be used: {reason}") from error
    if not examples:
        raise UserError(f"data {', '.join(map(str, paths))} has no rows: give files with at least one")
    kinds = {KINDS[type(example)] for example in examples}
    if len(kinds) > 1:
        raise UserError(f"data has rows of several kinds ({', '.join(sorted(kinds))}): give files of one kind")
    return examples


def parse_example(row: Any) -> Example:
    """The example in a row.

    Raises:
        UserError: its format is unknown.
    """
    if not isinstance(row, dict):
        raise UserError("a row must be an object with named fields")
    if "chosen" in row and "rejected" in row:
        return _parse_preference(row)
    if (desirable := BOOLEANS.get(str(row.get("label")).lower())) is not None and _has_conversation(row):
        return Judgment(_parse_conversation(row).messages, desirable)
    if _has_conversation(row):
        return _parse_conversation(row)
    if "text" in row and ("label" in row or "labels" in row):
        labels = row.get("labels", row.get("label"))
        if labels is None:
            raise UserError("its label is empty: give a label, or an empty list of labels for a text without any")
        names = labels if isinstance(labels, list) else [labels]
        return Labeled(str(row["text"]), tuple(str(name) for name in names if name is not None))
    raise UserError(f"its fields ({', '.join(map(str, row))}) match no known format: use {FORMATS}")


def _has_conversation(row: Mapping[str, Any]) -> bool:
    return any(set(keys) <= set(row) for keys in (("messages",), ("conversations",), ("instruction", "output"))) or (
        "prompt" in row and ("completion" in row or "response" in row)
    )


def _parse_conversation(row: Mapping[str, Any]) -> Conversation:
    tools = row.get("tools") or ()
    tools = json.loads(tools) if isinstance(tools, str) else tools
    prompt = _parse_prompt(row)
    if "messages" in row or "conversations" in row:
        return Conversation(prompt, tuple(tools))
    answer = row["output"] if "output" in row else row.get("completion", row.get("response"))
    return Conversation((*prompt, *_parse_answer(answer)), tuple(tools))


def _parse_prompt(row: Mapping[str, Any]) -> tuple[Message, ...]:
    """The messages before the answer."""
    system = _parse_system(row)
    if "messages" in row or "conversations" in row:
        return (*system, *_parse_messages(row.get("messages", row.get("conversations"))))
    if isinstance(row.get("prompt"), list):
        return (*system, *_parse_messages(row["prompt"]))
    question = row.get("prompt", row.get("instruction", row.get("question")))
    if question is None:
        raise UserError("there is no prompt: add one, or `messages`")
    if row.get("input"):
        question = f"{question}\n{row['input']}"
    messages = [*system]
    for user, assistant in row.get("history") or ():
        messages += [{"role": "user", "content": str(user)}, {"role": "assistant", "content": str(assistant)}]
    return (*messages, {"role": "user", "content": str(question)})


def _parse_system(row: Mapping[str, Any]) -> tuple[Message, ...]:
    return ({"role": "system", "content": str(row["system"])},) if row.get("system") else ()


def _parse_messages(rows: Iterable[Mapping[str, Any]]) -> tuple[Message, ...]:
    messages = []
    for row in rows:
        role = str(row["role"] if "role" in row else row["from"])
        content = row["content"] if "content" in row else row.get("value", "")
        if isinstance(content, list):  # parts; only text is supported
            content = "".join(str(part.get("text", part.get("value", ""))) for part in content)
        extra = {key: value for key, value in row.items() if key not in ("from", "value", "role", "content")}
        messages.append({**extra, "role": ROLES.get(role, role), "content": "" if content is None else str(content)})
    return tuple(messages)


def _parse_answer(value: Any) -> tuple[Message, ...]:
    """An answer that is a text, a message or a list of messages."""
    if isinstance(value, str):
        return ({"role": "assistant", "content": value},)
    return _parse_messages([value] if isinstance(value, dict) else value)


def _parse_preference(row: Mapping[str, Any]) -> Preference:
    chosen, rejected = _parse_answer(row["chosen"]), _parse_answer(row["rejected"])
    if len(chosen) > 1 and not any(key in row for key in ("prompt", "messages", "conversations", "instruction")):
        if chosen[:-1] != rejected[:-1]:
            raise UserError("the two conversations differ before their last answers: only the last answers may differ")
        return Preference((*_parse_system(row), *chosen[:-1]), chosen[-1], rejected[-1])
    return Preference(_parse_prompt(row), chosen[-1], rejected[-1])


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
    """The messages of an example up to its last (or chosen) answer."""
    match example:
        case Conversation(messages, _) | Judgment(messages, _):
            last = max(n for n, message in enumerate(messages) if message["role"] == "assistant")
            return tuple(map(dict, messages[: last + 1]))
        case Preference(prompt, chosen, _):
            return (*map(dict, prompt), dict(chosen))
        case _:
            raise AssertionError(example)


def preview(example: Example, max_chars: int = 300) -> str:
    """An example on one line."""
    match example:
        case Labeled(text, labels):
            line = f"{text!r}: {', '.join(labels) or 'no label'}"
        case _:
            line = " | ".join(f"{message['role']}: {message['content']!r}" for message in dialog(example))
    return line if len(line) <= max_chars else line[:max_chars] + "..."


def _substitute(example: Example, variables: Mapping[str, str]) -> Example:
    """The example with {{name}} replaced in its messages, if there are any variables."""

    def replacement(match: re.Match[str]) -> str:
        if match[1] not in variables:
            raise UserError(f"it has the placeholder {match[0]}, which has no value: give --variables.{match[1]} VALUE")
        return variables[match[1]]

    def fill(message: Message) -> Message:
        return {**message, "content": PLACEHOLDER.sub(replacement, str(message["content"]))}

    if not variables:
        return example
    match example:
        case Conversation(messages, tools):
            return Conversation(tuple(map(fill, messages)), tools)
        case Preference(prompt, chosen, rejected):
            return Preference(tuple(map(fill, prompt)), fill(chosen), fill(rejected))
        case Judgment(messages, desirable):
            return Judgment(tuple(map(fill, messages)), desirable)
        case _:
            return example
