"""Messages of a conversation, in the form that chat templates read.

A message has a role and content; an answer can have tool calls. `"weight": 0` marks an answer that is not learned.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lmcraft.data.missing import describe_empty, is_empty
from lmcraft.errors import UserError
from lmcraft.finetuning.row_fields import as_text, parse_json

Message = Mapping[str, Any]
# Other names of the standard roles, in lower case.
ROLES = {
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "observation": "tool",
    "tool_response": "tool",
    "function_response": "tool",
    "function": "tool",
}
CALL_ROLES = ("function_call", "tool_call")
TEXT_PARTS = ("text", "input_text", "output_text")
# Names of the field that says whether an answer is learned, in several tools.
LEARNED_FIELDS = ("weight", "train", "training", "loss")
# Fields that are recognized without regard to case.
MESSAGE_FIELDS = ("role", "from", "content", "value", "tool_calls", "function_call", "train_detail", *LEARNED_FIELDS)
TRUTH = {"true": True, "1": True, "false": False, "0": False}


def truth(value: Any) -> bool | None:
    """A value as true or false: booleans, 0 and 1, also as text; None for any other value."""
    return TRUTH.get(str(value).strip().casefold().removesuffix(".0"))


def parse_messages(value: Any, field: str = "messages") -> tuple[Message, ...]:
    """The messages of a list, which may be written as JSON.

    Raises:
        UserError: it is not a list of messages, or one of them cannot be used.
    """
    rows = parse_json(value)
    if not isinstance(rows, list):
        raise UserError(f"its {field} are not a list of messages, each with a role and content")
    if not rows:
        raise UserError(f"its {field} are empty")
    messages = [_parse_message(row, f"message {number}") for number, row in enumerate(rows, start=1)]
    return tuple(message for message in messages if message["role"] != "system" or not is_empty(message["content"]))


def parse_answer(value: Any, field: str) -> tuple[Message, ...]:
    """An answer that is a text, a message or a list of messages.

    Raises:
        UserError: it is something else.
    """
    if _is_message(value):
        return (_parse_message(value, field),)
    if (rows := message_list(value)) is not None:
        return parse_messages(rows, field)
    return ({"role": "assistant", "content": as_text(value, field)},)


def message_list(value: Any) -> list[Any] | None:
    """A list, or a text that holds a list of messages as JSON; None for any other value."""
    if isinstance(value, list):
        return value
    rows = parse_json(value)
    return rows if isinstance(rows, list) and rows and all(map(_is_message, rows)) else None


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and ("role" in value or "from" in value)


def text_message(role: str, value: Any, field: str) -> Message:
    """A message from a field that holds its text."""
    return {"role": role, "content": as_text(value, field)}


def check_conversation(messages: Sequence[Message], *, any_learned: bool) -> None:
    """Check that questions and learned answers have content.

    Raises:
        UserError: a message cannot be used.
    """
    for number, message in enumerate(messages, start=1):
        role, content = message["role"], message["content"]
        if role == "user" and is_empty(content):
            raise UserError(f"its message {number} (user) is empty")
        if any_learned and is_learned(message) and is_empty(content) and not message.get("tool_calls"):
            raise UserError(f'its answer is empty (message {number}): write one, or give it "weight": 0')


def is_learned(message: Message) -> bool:
    """Whether the model learns a message: the assistant's, unless its weight is 0."""
    return bool(message["role"] == "assistant" and message.get("weight", 1) != 0)


def parse_tools(value: Any) -> tuple[Mapping[str, Any], ...]:
    """Functions as JSON schemas in OpenAI's form.

    Raises:
        UserError: they are something else.
    """
    tools = parse_json(value)
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise UserError("its tools are not a list of objects with a name and parameters")
    return tuple(
        tool if "function" in tool or "name" not in tool else {"type": "function", "function": tool} for tool in tools
    )


def _parse_message(row: Any, name: str) -> Message:
    if not isinstance(row, dict):
        raise UserError(f"its {name} is not an object with a role and content")
    fields = _message_fields(row, name)
    role = fields.pop("role", fields.pop("from", None))
    if is_empty(role):
        raise UserError(f"its {name} has no role: add one (system, user, assistant or tool)")
    spelled = as_text(role, "role").strip().casefold()
    role = ROLES.get(spelled, spelled)
    value = next((fields.pop(key) for key in ("content", "value") if key in fields), None)
    for key in ("from", "value"):
        fields.pop(key, None)
    learned = _parse_learned(fields, role, name)
    calls = fields.pop("tool_calls", None) or fields.pop("function_call", None)
    if not calls and spelled in CALL_ROLES and isinstance(parse_json(value), dict | list):
        calls, value = value, None
    if calls:
        fields["tool_calls"] = _parse_calls(calls, name)
    elif isinstance(value, float) and is_empty(value) and role in ("user", "assistant"):
        raise UserError(f"its {name} ({role}) is {describe_empty(value)}: write it, or remove the row")
    content = _parse_content(value, role, f"{name} ({role})")
    return {**fields, "role": role, "content": content, **({} if learned else {"weight": 0})}


def _message_fields(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The fields of a message that have a value, by their usual names."""
    fields: dict[str, Any] = {}
    for key, value in row.items():
        usual = key.strip().casefold()
        field = usual if usual in MESSAGE_FIELDS else key
        if value is None:
            continue
        if field in fields:
            raise UserError(f"its {name} has the field '{field}' in two spellings: remove one")
        fields[field] = value
    if fields.pop("train_detail", None):
        raise UserError(
            f"its {name} has train_detail, but parts of an answer cannot be left unlearned: remove it, or give the whole "
            "answer a weight"
        )
    return fields


def _parse_learned(fields: dict[str, Any], role: str, name: str) -> bool:
    """Whether a message's fields say that it is learned; these fields are removed."""
    values = {key: fields.pop(key) for key in LEARNED_FIELDS if key in fields}
    flags = {key: truth(value) for key, value in values.items()}
    for key, flag in flags.items():
        if flag is None:
            raise UserError(f"its {name} has {key} {values[key]!r}, which is not supported: use 0 or 1")
    if role != "assistant" and any(flags.values()) and "weight" not in flags:
        raise UserError(f"its {name} ({role}) is marked to be learned, but only answers can be: remove {', '.join(flags)}")
    return all(flags.values()) or role != "assistant"


def _parse_content(value: Any, role: str, name: str) -> str:
    """Content as text; parts of a text are joined."""
    if is_empty(value) and not isinstance(value, str):
        return ""
    if role == "tool" and isinstance(value, dict):  # a result as JSON
        return json.dumps(value, ensure_ascii=False)
    if not isinstance(value, list):
        return as_text(value, name)
    return "".join(_part_text(part, name) for part in value)


def _part_text(part: Any, name: str) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, dict) else type(part).__name__
    text = part.get("text", part.get("value")) if isinstance(part, dict) else None
    if kind not in TEXT_PARTS or not isinstance(text, str):
        raise UserError(f"its {name} has a part of type '{kind}', but only text is supported: remove the part or the row")
    return text


def _parse_calls(value: Any, name: str) -> list[dict[str, Any]]:
    calls = parse_json(value)
    return [_parse_call(call, name) for call in (calls if isinstance(calls, list) else [calls])]


def _parse_call(call: Any, name: str) -> dict[str, Any]:
    """A tool call in the form of templates, whose arguments are an object."""
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or is_empty(function["name"]):
        raise UserError(f"its {name} has a tool call without a function's name")
    arguments = function.get("arguments", function.get("parameters"))
    arguments = {} if is_empty(arguments) else parse_json(arguments)
    if not isinstance(arguments, dict):
        raise UserError(f"its {name} calls '{function['name']}' with arguments that are not a JSON object")
    outer = call if "function" in call else {"type": "function"}
    return {**outer, "function": {"name": function["name"], "arguments": arguments}}
