"""The items of a Responses conversation: messages, calls, their results, reasoning; and their translation to messages."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from lmcraft.server.http.protocol.base import Ignored, Name, Strict, Text, ToolName, unsupported
from lmcraft.server.http.protocol.chat import FunctionCall, Message, Part, ToolCall, text_of
from lmcraft.server.http.protocol.invalid_values import unknown_call

Status = Literal["in_progress", "completed", "incomplete"]


class _Item(Strict):
    """The fields that every item may have."""

    id: Name | None = None
    status: Status | None = None


class InputMessage(_Item):
    """A message, also as the server's own output."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[Part] = ""
    phase: Ignored = None


class InputCall(_Item):
    """A call that the model made earlier."""

    type: Literal["function_call"]
    call_id: Name
    name: ToolName
    arguments: Text
    parsed_arguments: Ignored = None
    namespace: Ignored = None
    caller: Ignored = None


class InputResult(_Item):
    """The result of a call."""

    type: Literal["function_call_output"]
    call_id: Name
    output: Text | list[Part] = ""
    caller: Ignored = None
    created_by: Ignored = None


class ReasoningText(Strict):
    """A part of a reasoning item."""

    type: Literal["reasoning_text", "summary_text", "text"]
    text: Text


class InputReasoning(_Item):
    """What the model thought before an answer; templates may show it as `reasoning_content`."""

    type: Literal["reasoning"]
    summary: list[ReasoningText] | None = None
    content: list[ReasoningText] | None = None
    encrypted_content: Annotated[Any, unsupported("this server cannot read it; send the reasoning's content")] = None

    def text(self) -> str:
        """The reasoning itself, or its summary."""
        return "".join(part.text for part in self.content or self.summary or ())


class ItemReference(Strict):
    """An item of a stored response, by its id."""

    type: Literal["item_reference"] = "item_reference"
    id: Name


def _item_type(item: Any) -> str | None:
    """The type of an item; clients leave out `message` and `item_reference`."""
    if isinstance(item, Strict):
        return str(getattr(item, "type", ""))
    if not isinstance(item, dict):
        return None
    default = "message" if "role" in item or "id" not in item else "item_reference"
    return default if item.get("type") is None else item["type"]


InputItem = Annotated[
    Annotated[InputMessage, Tag("message")]
    | Annotated[InputCall, Tag("function_call")]
    | Annotated[InputResult, Tag("function_call_output")]
    | Annotated[InputReasoning, Tag("reasoning")]
    | Annotated[ItemReference, Tag("item_reference")],
    Discriminator(_item_type),
]


ID_PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}


def item_json(item: InputItem, default_id: str) -> dict[str, Any]:
    """An item as the server stores and lists it: with an id, a status, and content in parts."""
    fields = item.model_dump(exclude_none=True)
    if isinstance(item, InputMessage):
        kind: dict[str, Any] = {"type": "input_text"}
        if item.role == "assistant":
            kind = {"type": "output_text", "annotations": []}
        parts = [{"type": "text", "text": item.content}] if isinstance(item.content, str) else fields["content"]
        fields["content"] = [part if part["type"] == "refusal" else {"text": part["text"], **kind} for part in parts]
    return {"id": default_id, "status": "completed", **fields}


def is_unfinished(item: InputItem) -> bool:
    """Whether the answer continues this item: a message of the assistant that is not complete, and not empty."""
    if not isinstance(item, InputMessage) or item.role != "assistant":
        return False
    return item.status in ("in_progress", "incomplete") and bool(text_of(item.content).strip())


def as_messages(items: Sequence[InputItem], instructions: str | None = None) -> list[Message]:
    """The items as messages of a chat completion. What the assistant did in one turn becomes one message."""
    fields: list[dict[str, Any]] = [{"role": "system", "content": instructions}] if instructions else []
    reasoning = ""
    for item in items:
        match item:
            case InputReasoning():
                reasoning += item.text()
                continue
            case InputMessage(role="assistant") | InputCall():
                _add_to_turn(fields, item)
                if reasoning:
                    fields[-1]["reasoning_content"] = reasoning
            case InputMessage():
                fields.append({"role": item.role, "content": item.content})
            case InputResult():
                fields.append({"role": "tool", "content": item.output, "tool_call_id": item.call_id})
        reasoning = ""
    return [Message(**message) for message in fields]


def check_results(items: Sequence[InputItem], num_earlier: int) -> None:
    """Raise ApiError if the result of a call does not name an earlier call.

    Args:
        items: the whole conversation.
        num_earlier: how many of the items are of earlier responses; the others are the request's input.
    """
    call_ids: set[str] = set()
    for n, item in enumerate(items):
        if isinstance(item, InputCall):
            call_ids.add(item.call_id)
        elif isinstance(item, InputResult) and item.call_id not in call_ids:
            raise unknown_call(f"input[{n - num_earlier}].call_id", item.call_id)


def _add_to_turn(fields: list[dict[str, Any]], item: InputMessage | InputCall) -> None:
    """Add a text or a call to the assistant's last message, or begin another: a text that follows a text is an answer of
    its own."""
    last = fields[-1] if fields and fields[-1]["role"] == "assistant" else None
    if last is None or (isinstance(item, InputMessage) and "tool_calls" not in last):
        last = {"role": "assistant", "content": ""}
        fields.append(last)
    if isinstance(item, InputMessage):
        last["content"] += text_of(item.content)
    else:
        call = ToolCall(id=item.call_id, function=FunctionCall(name=item.name, arguments=item.arguments))
        last.setdefault("tool_calls", []).append(call)
