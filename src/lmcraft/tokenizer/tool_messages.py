"""Tools, calls and their results in the form that a chat template can render.

Templates differ: most take a call's arguments as an object, DeepSeek's as JSON text; DeepSeek's shows calls only beside a
null content; Mistral's refuses ids that are not nine letters and digits; and many know no tools at all. What a template
knows is found by rendering a probe.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from lmcraft.errors import UserError

Message = Mapping[str, Any]
Render = Callable[[Sequence[Message], Sequence[Message] | None], str]
"""Renders messages and tools."""
ArgumentForm = Literal["object", "text"]
MISTRAL_TAG = "[TOOL_CALLS]"
_ID_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SHORT_ID = re.compile("[a-zA-Z0-9]{9}")
_PROBE_ARGUMENTS = {"probe_key": "probe_value"}
_RENDERED_ARGUMENTS = re.compile(r'"probe_key"\s*:\s*"probe_value"')
_TOOLS_TEXT = """# Tools
{tools}
To call a tool, write <tool_call>{{"name": <name>, "arguments": <JSON object>}}</tool_call>"""


@dataclass(frozen=True)
class ToolForm:
    """What a chat template does with tools."""

    lists_tools: bool
    shows_results: bool
    arguments: ArgumentForm | None
    """How it shows a call's arguments; None: it does not show calls."""
    content: str | None
    """The content of a message with calls and no text."""
    keeps_text: bool
    """Whether it shows the text of a message that has calls."""
    short_ids: bool


def detect_form(template: str, render: Render) -> ToolForm:
    """What a chat template does with tools, found by rendering probes."""
    forms: tuple[tuple[str | None, ArgumentForm], ...] = (("", "object"), ("", "text"), (None, "object"), (None, "text"))
    content: str | None = ""
    arguments: ArgumentForm | None = None
    keeps_text, text = True, ""
    for content, arguments in forms:
        text = _probe(render, content, arguments)
        shows_none = content is None and "None" in text
        if _RENDERED_ARGUMENTS.search(text) and "probe_name" in text and not shows_none:
            with_text = _probe(render, "probe_text", arguments)
            keeps_text = "probe_text" in with_text and _RENDERED_ARGUMENTS.search(with_text) is not None
            break
    else:
        text, content, arguments = "", "", None
    tool = {"type": "function", "function": {"name": "probe_tool", "description": "", "parameters": {}}}
    return ToolForm(
        lists_tools="probe_tool" in _try(render, [{"role": "user", "content": "probe"}], [tool]),
        shows_results="probe_result" in text,
        arguments=arguments,
        content=content,
        keeps_text=keeps_text,
        short_ids=MISTRAL_TAG in template,
    )


def _probe(render: Render, content: str | None, form: ArgumentForm) -> str:
    arguments = _PROBE_ARGUMENTS if form == "object" else json.dumps(_PROBE_ARGUMENTS)
    call = {"id": "probe0000", "type": "function", "function": {"name": "probe_name", "arguments": arguments}}
    result = {"role": "tool", "name": "probe_name", "tool_call_id": "probe0000", "content": "probe_result"}
    question = {"role": "user", "content": "probe"}
    return _try(render, [question, {"role": "assistant", "content": content, "tool_calls": [call]}, result], None)


def _try(render: Render, messages: Sequence[Message], tools: Sequence[Message] | None) -> str:
    try:
        return render(messages, tools)
    except UserError:
        return ""


def order_results(messages: Sequence[Message]) -> list[Message]:
    """Messages whose results have the order of their calls: few templates show the ids that tell results apart."""
    ordered: list[Message] = []
    position_of_call: dict[Any, int] = {}
    for is_result, group in groupby(messages, key=lambda message: message.get("role") == "tool"):
        block = list(group)
        ids = [message.get("tool_call_id") for message in block]
        if is_result and position_of_call.keys() >= set(ids):
            block.sort(key=lambda message: position_of_call[message["tool_call_id"]])
        elif not is_result:
            calls = enumerate(block[-1].get("tool_calls") or ())
            position_of_call = {call["id"]: n for n, call in calls if call.get("id") is not None}
        ordered += block
    return ordered


def adapt(messages: Sequence[Message], form: ToolForm) -> list[Message]:
    """Messages whose calls have the form that the template shows."""
    adapted: list[Message] = []
    for message in messages:
        if form.short_ids and "tool_call_id" in message:
            message = {**message, "tool_call_id": short_id(message["tool_call_id"])}
        if message.get("tool_calls") and form.arguments is not None:
            calls = [_adapt_call(call, form) for call in message["tool_calls"]]
            content = message.get("content") or form.content
            if content and not form.keeps_text:
                adapted.append({name: value for name, value in message.items() if name != "tool_calls"})
                content = form.content
            message = {**message, "content": content, "tool_calls": calls}
        adapted.append(message)
    return adapted


def _adapt_call(call: Mapping[str, Any], form: ToolForm) -> dict[str, Any]:
    adapted = dict(call)
    if form.short_ids and "id" in call:
        adapted["id"] = short_id(call["id"])
    function = call.get("function")
    if isinstance(function, Mapping) and "arguments" in function:
        arguments = parse_arguments(function["arguments"])
        if form.arguments == "text" and not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        adapted["function"] = {**function, "arguments": arguments}
    return adapted


def parse_arguments(arguments: Any) -> Any:
    """A call's arguments as an object, if they are one or JSON text of one; otherwise unchanged."""
    if not isinstance(arguments, str):
        return arguments
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments
    return value if isinstance(value, dict) else arguments


def short_id(call_id: object) -> str:
    """A call's id of nine letters and digits, which Mistral's templates demand; the same for the same id."""
    if _SHORT_ID.fullmatch(str(call_id)):
        return str(call_id)
    number = int.from_bytes(hashlib.sha256(str(call_id).encode("utf-8", "replace")).digest())
    return "".join(_ID_CHARACTERS[number // 62**n % 62] for n in range(9))


def spell_out(
    messages: Sequence[Message], tools: Sequence[Message] | None, form: ToolForm
) -> tuple[list[Message], Sequence[Message] | None]:
    """Messages and tools of which the template shows everything: what it does not know becomes text in Hermes' format."""
    spelled = list(messages)
    if form.arguments is None:
        spelled = [_spell_calls(message) if message.get("tool_calls") else message for message in spelled]
        spelled = _spell_results(spelled)
    elif not form.shows_results:
        spelled = _spell_results(spelled)
    if not tools or form.lists_tools:
        return spelled, tools
    text = _TOOLS_TEXT.format(tools="\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools))
    if spelled and spelled[0]["role"] == "system":
        content = spelled[0].get("content")
        return [{**spelled[0], "content": f"{content}\n\n{text}" if content else text}, *spelled[1:]], None
    return [{"role": "system", "content": text}, *spelled], None


def _spell_calls(message: Message) -> Message:
    functions = [call.get("function", call) for call in message["tool_calls"]]
    objects = [{"name": f.get("name"), "arguments": parse_arguments(f.get("arguments", {}))} for f in functions]
    texts = [f"<tool_call>\n{json.dumps(value, ensure_ascii=False)}\n</tool_call>" for value in objects]
    content = "\n".join([*([message["content"]] if message.get("content") else []), *texts])
    return {name: value for name, value in message.items() if name != "tool_calls"} | {"content": content}


def _spell_results(messages: Sequence[Message]) -> list[Message]:
    """Results as text of the user; joined with what the user says next, because many templates let roles alternate."""
    spelled: list[Message] = []
    follows_result = False
    for message in messages:
        is_result = message["role"] == "tool"
        if is_result:
            text = f"<tool_response>\n{message.get('content') or ''}\n</tool_response>"
            message = {"role": "user", "content": text}
        if follows_result and message["role"] == "user" and isinstance(message.get("content"), str):
            message = {**message, "content": f"{spelled.pop()['content']}\n{message['content']}"}
        spelled.append(message)
        follows_result = is_result or (follows_result and message["role"] == "user")
    return spelled
