"""The export of llama.cpp's page: {"conv": {"name", "currNode"}, "messages": [...]}, or a list of them; times in ms."""

from typing import Any

from lmcraft.server.conversations.exchange.tree import (
    MILLISECONDS,
    Node,
    build_conversation,
    get_id,
    get_list,
    get_text,
    get_time,
    is_true,
    list_children,
)

Json = dict[str, Any]


def recognizes(item: Json) -> bool:
    """Whether this is a conversation of llama.cpp's page."""
    return isinstance(item.get("conv"), dict) and isinstance(item.get("messages"), list)


def read(item: Json) -> Json:
    """The conversation in the form of `Store.export`.

    Raises:
        UserError: its messages form no tree.
    """
    conv = item["conv"]
    nodes = [_read_message(message) for message in item["messages"] if isinstance(message, dict)]
    return build_conversation(
        nodes,
        get_id(conv, "currNode"),
        title=get_text(conv, "name"),
        model=next((node.model for node in reversed(nodes) if node.model), ""),
        created=min((node.created for node in nodes if node.created is not None), default=None),
        updated=get_time(conv, "lastModified", MILLISECONDS),
        pinned=is_true(conv, "pinned"),
    )


def _read_message(message: Json) -> Node:
    role = "" if message.get("type") == "root" else get_text(message, "role")
    thoughts = get_text(message, "reasoningContent") or get_text(message, "thinking")
    created = get_time(message, "timestamp", MILLISECONDS)
    content = _attached_texts(message) + get_text(message, "content")
    return Node(
        get_id(message, "id") or "", get_id(message, "parent"), role, content, get_text(message, "model"), created, thoughts
    )


def _attached_texts(message: Json) -> str:
    """The texts of the files that were attached to a message, before its own."""
    files = [extra for extra in get_list(message, "extra") if isinstance(extra, dict) and get_text(extra, "content")]
    return "".join(f"{get_text(file, 'name') or 'file'}:\n\n{file['content']}\n\n" for file in files)


def write(conversation: Json) -> Json:
    """The conversation as llama.cpp's page exports it; its tree begins with an empty root."""
    children = list_children(conversation["messages"])
    root, start = f"{conversation['id']}-root", _milliseconds(conversation["created"])
    common = {"convId": conversation["id"], "toolCalls": ""}
    top = root
    nodes = [{"id": root, "type": "root", "role": "system", "content": "", "parent": None, "children": children[None]}]
    if conversation["system"]:
        top = f"{conversation['id']}-system"
        nodes[0]["children"] = [top]
        text = {"type": "system", "role": "system", "content": conversation["system"]}
        nodes.append({"id": top, **text, "parent": root, "children": children[None]})
    messages = [{**common, "timestamp": start, **node} for node in nodes]
    for message in conversation["messages"]:
        ids = {"id": message["id"], "parent": message["parent"] or top, "children": children[message["id"]]}
        text = {"type": "text", "role": message["role"], "content": message["content"], "model": message["model"]}
        thoughts = message["details"].get("thoughts")
        reasoning = {"reasoningContent": thoughts} if thoughts else {}
        messages.append({**common, **ids, **text, **reasoning, "timestamp": _milliseconds(message["created"])})
    conv = {"id": conversation["id"], "name": conversation["title"], "lastModified": _milliseconds(conversation["updated"])}
    return {"conv": {**conv, "currNode": conversation["leaf"] or top}, "messages": messages}


def _milliseconds(seconds: float) -> int:
    return int(seconds * MILLISECONDS)
