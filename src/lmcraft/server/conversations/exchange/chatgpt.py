"""ChatGPT's conversations.json: a list of {"title", "mapping": {id: {"message", "parent", "children"}}, "current_node"}."""

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
ROOT = "root"


def recognizes(item: Json) -> bool:
    """Whether this is a conversation of ChatGPT."""
    return isinstance(item.get("mapping"), dict)


def read(item: Json) -> Json:
    """The conversation in the form of `Store.export`.

    Raises:
        UserError: its messages form no tree.
    """
    nodes = [_read_node(str(id_), node) for id_, node in item["mapping"].items()]
    return build_conversation(
        nodes,
        get_id(item, "current_node"),
        title=get_text(item, "title"),
        model=get_text(item, "default_model_slug"),
        created=get_time(item, "create_time"),
        updated=get_time(item, "update_time"),
        pinned=is_true(item, "is_starred"),
    )


def _read_node(id_: str, node: Any) -> Node:
    message = get_object(node, "message")
    metadata = get_object(message, "metadata")
    role = get_text(get_object(message, "author"), "role")
    is_hidden = is_true(metadata, "is_visually_hidden_from_conversation")
    if is_hidden or get_text(message, "recipient") not in ("", "all"):  # calls of tools go to the tool
        role = ""
    text, thoughts = _read_content(get_object(message, "content"))
    model = get_text(metadata, "model_slug")
    return Node(id_, get_id(node, "parent"), role, text, model, get_time(message, "create_time"), thoughts)


def _read_content(content: Json) -> tuple[str, str]:
    """The text of a message and its thoughts; images and other media are left out."""
    kind = get_text(content, "content_type") or "text"
    if kind in ("text", "multimodal_text"):
        return "\n".join(part for part in get_list(content, "parts") if isinstance(part, str)), ""
    if kind == "code":
        return f"```{get_text(content, 'language').replace('unknown', '')}\n{get_text(content, 'text')}\n```", ""
    if kind == "thoughts":
        return "", "\n".join(get_text(thought, "content") for thought in get_list(content, "thoughts"))
    return "", ""


def write(conversation: Json) -> Json:
    """The conversation as an item of conversations.json."""
    children = list_children(conversation["messages"])
    mapping: dict[str, Json] = {ROOT: {"id": ROOT, "message": None, "parent": None, "children": children[None]}}
    if conversation["system"]:
        system = {"id": "system", "role": "system", "content": conversation["system"], "created": conversation["created"]}
        mapping[ROOT]["children"] = ["system"]
        mapping["system"] = {**_write_node(system, children[None]), "parent": ROOT}
    for message in conversation["messages"]:
        mapping[message["id"]] = _write_node(message, children[message["id"]])
        mapping[message["id"]]["parent"] = message["parent"] or ("system" if conversation["system"] else ROOT)
    return {
        "title": conversation["title"],
        "create_time": conversation["created"],
        "update_time": conversation["updated"],
        "mapping": mapping,
        "current_node": conversation["leaf"] or ROOT,
        "conversation_id": conversation["id"],
        "default_model_slug": conversation["model"],
        "is_starred": conversation["pinned"],
    }


def _write_node(message: Json, children: list[str]) -> Json:
    content = {"content_type": "text", "parts": [message["content"]]}
    metadata = {"model_slug": message["model"]} if message.get("model") else {}
    head = {"id": message["id"], "author": {"role": message["role"]}, "create_time": message["created"]}
    return {
        "id": message["id"],
        "message": {**head, "content": content, "recipient": "all", "metadata": metadata},
        "children": children,
    }
