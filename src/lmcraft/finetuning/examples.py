"""What a model is tuned on, recognized by what its rows hold.

| kind | a row has | becomes |
|---|---|---|
| messages | `messages` of role and content (OpenAI), or `conversations` of from and value (ShareGPT) | `Conversation` |
| alpaca | `instruction`, `output`, perhaps `input`, `system`, `history` | `Conversation` |
| prompt-completion | `prompt` and `completion` | `Conversation` |
| preferences | `chosen` and `rejected`, beside a prompt in any of these forms | `Preference` |
| judgments (KTO) | a conversation in any of these forms, and a `label` that is true or false | `Judgment` |
| labels | `text` and `label` (or `labels`, several) | `Labeled` |
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lmcraft.data.documents import ReadStats
from lmcraft.data.sources import read_table
from lmcraft.errors import UserError

ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "function_call": "assistant",
    "observation": "tool",
}
YES_OR_NO = {"true": True, "false": False}
PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
Message = Mapping[str, Any]


@dataclass(frozen=True)
class Conversation:
    """Messages of role and content; what the assistant says is to be learned."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Preference:
    """Two answers to one prompt, of which the first is the better one."""

    prompt: tuple[Message, ...]
    chosen: Message
    rejected: Message


@dataclass(frozen=True)
class Judgment:
    """A conversation whose last answer is wanted, or not."""

    messages: tuple[Message, ...]
    desirable: bool


@dataclass(frozen=True)
class Labeled:
    """A text and what it is; several labels, or none, where it can be many things at once."""

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
        paths: .jsonl, .json, .csv, .tsv or .parquet, each perhaps compressed.
        variables: what stands for {{name}} in the texts.

    Raises:
        UserError: a file cannot be read, a row is of no known kind, the rows are of several, or a {{name}} has no value.
    """
    stats, found = ReadStats("fail"), []
    for path in paths:
        for line, row in read_table(path, stats):
            try:
                found.append(_filled(example_of(row), variables or {}))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                said = str(error) if isinstance(error, UserError) else f"it is damaged ({error!r})"
                raise UserError(f"{path}:{line} cannot be used: {said}") from error
    if not found:
        raise UserError(f"data {', '.join(map(str, paths))} has no rows: give files with at least one")
    kinds = {KINDS[type(example)] for example in found}
    if len(kinds) > 1:
        raise UserError(f"data has rows of several kinds ({', '.join(sorted(kinds))}): give files of one kind")
    return found


def example_of(row: Any) -> Example:
    """What a row is.

    Raises:
        UserError: no known kind.
    """
    if not isinstance(row, dict):
        raise UserError("a row must be an object with named fields")
    if "chosen" in row and "rejected" in row:
        return _preference(row)
    if (desirable := YES_OR_NO.get(str(row.get("label")).lower())) is not None and _has_conversation(row):
        return Judgment(_conversation(row).messages, desirable)
    if _has_conversation(row):
        return _conversation(row)
    if "text" in row and ("label" in row or "labels" in row):
        labels = row.get("labels", row.get("label"))
        if labels is None:
            raise UserError("its label is empty: give one, or an empty list of labels where it has none")
        several = labels if isinstance(labels, list) else [labels]
        return Labeled(str(row["text"]), tuple(str(label) for label in several if label is not None))
    known = "messages; conversations; instruction, output; prompt, completion; chosen, rejected; text, label"
    raise UserError(f"its fields ({', '.join(map(str, row))}) are of no known kind; known are: {known}")


def _has_conversation(row: Mapping[str, Any]) -> bool:
    return any(set(keys) <= set(row) for keys in (("messages",), ("conversations",), ("instruction", "output"))) or (
        "prompt" in row and ("completion" in row or "response" in row)
    )


def _conversation(row: Mapping[str, Any]) -> Conversation:
    tools = row.get("tools") or ()
    tools = json.loads(tools) if isinstance(tools, str) else tools
    prompt = _prompt(row)
    if "messages" in row or "conversations" in row:
        return Conversation(prompt, tuple(tools))
    answer = row["output"] if "output" in row else row.get("completion", row.get("response"))
    return Conversation((*prompt, *_answer(answer)), tuple(tools))


def _prompt(row: Mapping[str, Any]) -> tuple[Message, ...]:
    """What is asked, in whichever form."""
    system = _system(row)
    if "messages" in row or "conversations" in row:
        return (*system, *_messages(row.get("messages", row.get("conversations"))))
    if isinstance(row.get("prompt"), list):
        return (*system, *_messages(row["prompt"]))
    asked = row.get("prompt", row.get("instruction", row.get("question")))
    if asked is None:
        raise UserError("there is no prompt: add one, or `messages`")
    if row.get("input"):
        asked = f"{asked}\n{row['input']}"
    messages = [*system]
    for question, answer in row.get("history") or ():
        messages += [{"role": "user", "content": str(question)}, {"role": "assistant", "content": str(answer)}]
    return (*messages, {"role": "user", "content": str(asked)})


def _system(row: Mapping[str, Any]) -> tuple[Message, ...]:
    return ({"role": "system", "content": str(row["system"])},) if row.get("system") else ()


def _messages(rows: Iterable[Mapping[str, Any]]) -> tuple[Message, ...]:
    messages = []
    for row in rows:
        role = str(row["role"] if "role" in row else row["from"])
        content = row["content"] if "content" in row else row.get("value", "")
        if isinstance(content, list):  # parts, of which we know text
            content = "".join(str(part.get("text", part.get("value", ""))) for part in content)
        kept = {key: value for key, value in row.items() if key not in ("from", "value", "role", "content")}
        messages.append({**kept, "role": ROLES.get(role, role), "content": "" if content is None else str(content)})
    return tuple(messages)


def _answer(value: Any) -> tuple[Message, ...]:
    """An answer as text, as a message, or as messages."""
    if isinstance(value, str):
        return ({"role": "assistant", "content": value},)
    return _messages([value] if isinstance(value, dict) else value)


def _preference(row: Mapping[str, Any]) -> Preference:
    chosen, rejected = _answer(row["chosen"]), _answer(row["rejected"])
    if len(chosen) > 1 and not any(key in row for key in ("prompt", "messages", "conversations", "instruction")):
        if chosen[:-1] != rejected[:-1]:
            raise UserError("the two conversations differ before their last answers: only those may")
        return Preference((*_system(row), *chosen[:-1]), chosen[-1], rejected[-1])
    return Preference(_prompt(row), chosen[-1], rejected[-1])


def with_system(examples: Sequence[Example], system: str) -> list[Example]:
    """The same examples, told `system` first where they do not begin with such a message."""

    def told(messages: tuple[Message, ...]) -> tuple[Message, ...]:
        if messages and messages[0]["role"] == "system":
            return messages
        return ({"role": "system", "content": system}, *messages)

    found: list[Example] = []
    for example in examples:
        match example:
            case Conversation() | Judgment():
                found.append(replace(example, messages=told(example.messages)))
            case Preference():
                found.append(replace(example, prompt=told(example.prompt)))
            case _:
                found.append(example)
    return found


def _filled(example: Example, variables: Mapping[str, str]) -> Example:
    """The example with {{name}} replaced in what was said, where there are values to replace it with."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in variables:
            raise UserError(f"it has the placeholder {match[0]}: say what stands for it with --variables.{match[1]} VALUE")
        return variables[match[1]]

    def filled(message: Message) -> Message:
        return {**message, "content": PLACEHOLDER.sub(value, str(message["content"]))}

    if not variables:
        return example
    match example:
        case Conversation(messages, tools):
            return Conversation(tuple(map(filled, messages)), tools)
        case Preference(prompt, chosen, rejected):
            return Preference(tuple(map(filled, prompt)), filled(chosen), filled(rejected))
        case Judgment(messages, desirable):
            return Judgment(tuple(map(filled, messages)), desirable)
        case _:
            return example
