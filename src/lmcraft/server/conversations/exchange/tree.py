"""The messages of another program's file as a tree of questions and answers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmcraft.database import replace_invalid
from lmcraft.errors import UserError
from lmcraft.server.conversations import validation
from lmcraft.server.conversations.importer import cut_title

Json = dict[str, Any]
MILLISECONDS = 1000


@dataclass
class Node:
    """A message of another program. One without a role that the store knows, or without text, only connects others."""

    id: str
    parent: str | None
    role: str
    content: str
    model: str = ""
    created: float | None = None
    thoughts: str = ""
    rating: int = 0
    reason: str = ""
    children: list[str] = field(default_factory=list)

    def as_json(self, parent: str | None) -> Json:
        """The message in the form of `Store.export`."""
        optional: Json = {"created": self.created} if self.created is not None else {}
        if self.role == "assistant":
            optional |= {"rating": self.rating, "reason": self.reason[: validation.MAX_REASON_CHARS]}
        details = {"thoughts": self.thoughts} if self.thoughts and self.role == "assistant" else {}
        message = {
            "id": self.id,
            "parent": parent,
            "role": self.role,
            "content": replace_invalid(self.content),
            "details": details,
        }
        return {**message, "model": replace_invalid(self.model)[: validation.MAX_NAME_CHARS], **optional}


def build_conversation(nodes: Sequence[Node], leaf: str | None, **fields: Any) -> Json:
    """A conversation in the form of `Store.export`, with its messages in an order in which each follows its parent.

    Args:
        nodes: all nodes of the conversation, in any order; one whose parent is missing begins a tree of its own.
        leaf: id of the node at the end of the branch on display.
        fields: of the conversation; those that are None are left out.

    Raises:
        UserError: two nodes have the same id, or a node is its own ancestor.
    """
    by_id = {node.id: node for node in nodes}
    if len(by_id) != len(nodes):
        raise UserError("two of its messages have the same id; remove one", code="repeated_message_id")
    roots: list[str] = []
    for node in nodes:
        siblings = roots if node.parent is None or node.parent not in by_id else by_id[node.parent].children
        siblings.append(node.id)
    messages: list[Json] = []
    kept: dict[str, str | None] = {}  # node -> the message at or above it
    stack: list[tuple[str, str | None, str]] = [(root, None, "") for root in reversed(roots)]
    while stack:
        id_, above, thoughts = stack.pop()
        node = by_id[id_]
        node.thoughts = "\n".join(filter(None, [thoughts, node.thoughts]))  # of the nodes before that only think
        is_kept = node.role == "user" or (node.role == "assistant" and (bool(node.content) or not node.children))
        if is_kept:
            messages.append(node.as_json(above))
        kept[id_] = id_ if is_kept else above
        stack += [(child, kept[id_], "" if is_kept else node.thoughts) for child in reversed(node.children)]
    if len(kept) != len(nodes):
        raise UserError("a message of it is its own ancestor; remove it", code="circular_message")
    system = fields.pop("system", "") or next((node.content for node in nodes if node.role == "system"), "")
    if (end := kept.get(leaf or "")) is None and messages:
        end = messages[-1]["id"]
    first = next((message["content"] for message in messages if message["role"] == "user"), "")
    title = replace_invalid(fields.pop("title", "")).strip() or cut_title(first)
    conversation = {
        "title": title[: validation.MAX_TITLE_CHARS],
        "system": replace_invalid(system),
        "leaf": end,
        "messages": messages,
    }
    return {**conversation, **{name: value for name, value in fields.items() if value is not None}}


def get_text(value: Any, name: str) -> str:
    """The field of an object, or "" if it is missing or no text."""
    return item if isinstance(item := _get(value, name), str) else ""


def get_object(value: Any, name: str) -> Json:
    """The field of an object, or {} if it is missing or no object."""
    return item if isinstance(item := _get(value, name), dict) else {}


def get_list(value: Any, name: str) -> list[Any]:
    """The field of an object, or [] if it is missing or no list."""
    return item if isinstance(item := _get(value, name), list) else []


def is_true(value: Any, name: str) -> bool:
    """Whether the field of an object is true."""
    return _get(value, name) is True


def get_time(value: Any, name: str, unit: int = 1) -> float | None:
    """The field of an object as seconds since 1970; `unit` of them are a second."""
    item = _get(value, name)
    if isinstance(item, bool) or not isinstance(item, int | float) or not math.isfinite(item):
        return None
    seconds = item / unit
    return seconds if 0 <= seconds <= validation.MAX_TIME else None


def get_id(value: Any, name: str) -> str | None:
    """The field of an object as an id: programs number their messages, or give them names."""
    item = _get(value, name)
    return str(item) if isinstance(item, str | int) and not isinstance(item, bool) and item != "" else None


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def list_children(messages: Iterable[Json]) -> dict[str | None, list[str]]:
    """The ids of the messages below each one; below None: those at the beginning."""
    children: dict[str | None, list[str]] = {None: []}
    for message in messages:
        children.setdefault(message["parent"], []).append(message["id"])
        children.setdefault(message["id"], [])
    return children
