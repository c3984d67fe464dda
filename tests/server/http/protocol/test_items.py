"""Items of a Responses conversation, translated to messages."""

from typing import Any

import pytest
from pydantic import ValidationError

from lmcraft.server.http.protocol.items import as_messages, is_unfinished, item_json
from lmcraft.server.http.protocol.responses import parse_items


def text(content: str, *, role: str = "assistant", **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content, **fields}


def call(call_id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "add", "arguments": '{"a": 1}'}


def output(call_id: str, value: Any = "42") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": value}


def reasoning(content: str = "", summary: str = "") -> dict[str, Any]:
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": summary}] if summary else [],
        "content": [{"type": "reasoning_text", "text": content}] if content else None,
        "encrypted_content": None,
        "status": None,
    }


Summary = tuple[str, str, list[str], str | None]


def summarize(items: list[dict[str, Any]]) -> list[Summary]:
    """Role, text, ids of the calls and reasoning of each message."""
    messages = as_messages(parse_items(items))
    return [(m.role, m.text(), [c.id for c in m.tool_calls or ()], m.reasoning_content) for m in messages]


@pytest.mark.parametrize(
    ("items", "messages"),
    [
        ([{"role": "user", "content": "hi"}], [("user", "hi", [], None)]),
        ([text("a"), call("1")], [("assistant", "a", ["1"], None)]),
        ([call("1"), call("2")], [("assistant", "", ["1", "2"], None)]),
        ([text("a"), call("1"), text("b")], [("assistant", "ab", ["1"], None)]),
        ([text("a"), text("b")], [("assistant", "a", [], None), ("assistant", "b", [], None)]),
        (
            [call("1"), output("1"), call("2")],
            [("assistant", "", ["1"], None), ("tool", "42", [], None), ("assistant", "", ["2"], None)],
        ),
        ([output("1", [{"type": "input_text", "text": "4"}, {"type": "text", "text": "2"}])], [("tool", "42", [], None)]),
        ([output("1", "")], [("tool", "", [], None)]),
        ([reasoning("think"), text("a"), call("1")], [("assistant", "a", ["1"], "think")]),
        ([reasoning("think", "short"), call("1")], [("assistant", "", ["1"], "think")]),
        ([reasoning(summary="short"), text("a")], [("assistant", "a", [], "short")]),
        ([reasoning(), text("a")], [("assistant", "a", [], None)]),
        (
            [text("a"), reasoning("late"), text("q", role="user"), text("b")],
            [("assistant", "a", [], None), ("user", "q", [], None), ("assistant", "b", [], None)],
        ),
        ([text("no", role="developer")], [("developer", "no", [], None)]),
        ([{**text(""), "content": [{"type": "refusal", "refusal": "I cannot"}]}], [("assistant", "I cannot", [], None)]),
        ([{**text(""), "content": []}], [("assistant", "", [], None)]),
    ],
)
def test_items_become_messages(items: list[dict[str, Any]], messages: list[Summary]) -> None:
    assert summarize(items) == messages


def test_instructions_come_first() -> None:
    messages = as_messages(parse_items([text("hi", role="user")]), "Be brief.")
    assert [(m.role, m.text()) for m in messages] == [("system", "Be brief."), ("user", "hi")]


@pytest.mark.parametrize(
    ("item", "unfinished"),
    [
        (text("The answer is (", status="in_progress"), True),
        (text("The answer", status="incomplete"), True),
        (text("The answer", status="completed"), False),
        (text(" ", status="incomplete"), False),
        (text("The answer", status=None), False),
        (text("The answer"), False),
        (text("hi", role="user", status="in_progress"), False),
        ({**call("1"), "status": "in_progress"}, False),
    ],
)
def test_only_an_unfinished_message_of_the_assistant_is_continued(item: dict[str, Any], unfinished: bool) -> None:
    assert is_unfinished(parse_items([item])[0]) == unfinished


@pytest.mark.parametrize(
    "item",
    [
        {"type": "web_search_call", "id": "ws_1"},
        {"type": "reasoning", "encrypted_content": "gAAAA"},
        {"type": "function_call", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": [{"type": "input_image", "image_url": "x"}]},
        {"role": "user", "content": [{"type": "input_file", "file_id": "x"}]},
        {"role": "critic", "content": "x"},
        5,
        [],
    ],
)
def test_other_items_are_refused(item: Any) -> None:
    with pytest.raises(ValidationError):
        parse_items([item])


@pytest.mark.parametrize("item", [text("a"), text("q", role="user"), call("1"), output("1"), reasoning("t")])
def test_what_is_stored_means_the_same(item: dict[str, Any]) -> None:
    stored = item_json(parse_items([item])[0], "x_1")
    assert stored["id"] == item.get("id", "x_1") and stored["status"] == "completed"
    assert summarize([stored]) == summarize([item])
