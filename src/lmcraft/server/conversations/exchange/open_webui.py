"""The export of Open WebUI: a list of {"title", "chat": {"history": {"messages": {id: message}, "currentId"}}}."""

import re
from html import unescape
from typing import Any

from lmcraft.server.conversations.exchange.tree import (
    Node,
    build_conversation,
    get_id,
    get_list,
    get_object,
    get_text,
    get_time,
    is_true,
    list_children,
)

Json = dict[str, Any]
# Open WebUI keeps thoughts in the text of an answer.
_THOUGHTS = re.compile(r'<details type="reasoning"[^>]*>\s*<summary>.*?</summary>(.*?)</details>\s*', re.DOTALL)
_QUOTE = re.compile("^> ?", re.MULTILINE)


def recognizes(item: Json) -> bool:
    """Whether this is a conversation of Open WebUI."""
    return isinstance(item.get("chat"), dict)


def read(item: Json) -> Json:
    """The conversation in the form of `Store.export`.

    Raises:
        UserError: its messages form no tree.
    """
    chat = item["chat"]
    history = get_object(chat, "history")
    messages = list(get_object(history, "messages").values())
    if not messages:  # of early versions: the open branch only
        messages = [
            {**message, "id": str(n), "parentId": str(n - 1) if n else None}
            for n, message in enumerate(get_list(chat, "messages"))
            if isinstance(message, dict)
        ]
    return build_conversation(
        [_read_message(message) for message in messages if isinstance(message, dict)],
        get_id(history, "currentId"),
        title=get_text(item, "title") or get_text(chat, "title"),
        system=get_text(get_object(chat, "params"), "system") or get_text(chat, "system"),
        model=next((model for model in get_list(chat, "models") if isinstance(model, str)), ""),
        created=get_time(item, "created_at"),
        updated=get_time(item, "updated_at"),
        pinned=is_true(item, "pinned"),
    )


def _read_message(message: Json) -> Node:
    content = get_text(message, "content")
    role = get_text(message, "role")
    thoughts = ""
    if role == "assistant":
        thoughts = "\n".join(_QUOTE.sub("", unescape(text)).strip() for text in _THOUGHTS.findall(content))
        content = _THOUGHTS.sub("", content)
    annotation = get_object(message, "annotation")
    rating = annotation.get("rating")
    return Node(
        get_id(message, "id") or "",
        get_id(message, "parentId"),
        role,
        content,
        get_text(message, "model"),
        get_time(message, "timestamp"),
        thoughts,
        rating if rating in (1, -1) else 0,
        ": ".join(filter(None, [get_text(annotation, "reason"), get_text(annotation, "comment")])),
    )


def write(conversation: Json) -> Json:
    """The conversation as an item of Open WebUI's export."""
    children = list_children(conversation["messages"])
    messages = {message["id"]: _write_message(message, children) for message in conversation["messages"]}
    branch: list[Json] = []
    leaf = conversation["leaf"]
    while leaf is not None:
        branch.insert(0, messages[leaf])
        leaf = messages[leaf]["parentId"]
    chat = {
        "title": conversation["title"],
        "models": [conversation["model"]],
        "params": {"system": conversation["system"]} if conversation["system"] else {},
        "history": {"messages": messages, "currentId": conversation["leaf"]},
        "messages": branch,
        "tags": [],
        "timestamp": int(conversation["created"] * 1000),
    }
    times = {"created_at": int(conversation["created"]), "updated_at": int(conversation["updated"])}
    flags = {"archived": False, "pinned": conversation["pinned"]}
    return {"id": conversation["id"], "title": conversation["title"], "chat": chat, **times, **flags}


def _write_message(message: Json, children: dict[str | None, list[str]]) -> Json:
    names = {"id": message["id"], "parentId": message["parent"], "childrenIds": children[message["id"]]}
    fields = {**names, "role": message["role"], "content": message["content"], "timestamp": int(message["created"])}
    if message["role"] == "user":
        return fields
    if thoughts := message["details"].get("thoughts"):
        quoted = "\n".join(f"> {line}" for line in thoughts.split("\n"))
        fields["content"] = (
            f'<details type="reasoning" done="true">\n<summary>Thought</summary>\n{quoted}\n</details>\n{message["content"]}'
        )
    if message["rating"]:
        fields["annotation"] = {"rating": message["rating"], "comment": message["reason"]}
    return {**fields, "model": message["model"], "done": True}
