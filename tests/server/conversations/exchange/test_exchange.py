"""Conversations in the files of Open WebUI, ChatGPT and llama.cpp's page."""

import json
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.server.conversations.exchange import PROGRAMS, find_program, read_conversations, writer
from lmcraft.server.conversations.store import Store

THOUGHT = (
    '<details type="reasoning" done="true" duration="3">\n<summary>Thought for 3 seconds</summary>\n&gt; 6 x 7\n</details>\n'
)
OPEN_WEBUI = {
    "id": "a",
    "user_id": "u",
    "title": "Numbers",
    "updated_at": 1_760_000_100,
    "created_at": 1_760_000_000,
    "pinned": True,
    "chat": {
        "models": ["qwen3:4b"],
        "params": {"system": "Be brief."},
        "history": {
            "currentId": "3",
            "messages": {
                "3": {
                    "id": "3",
                    "parentId": "1",
                    "role": "assistant",
                    "content": THOUGHT + "42",
                    "annotation": {"rating": 1},
                },
                "1": {"id": "1", "parentId": None, "childrenIds": ["2", "3"], "role": "user", "content": "6 x 7?"},
                "2": {"id": "2", "parentId": "1", "role": "assistant", "content": "41", "model": "qwen3:4b"},
            },
        },
        "messages": [],
    },
}
CHATGPT = {
    "title": "Numbers",
    "create_time": 1_760_000_000.5,
    "update_time": 1_760_000_100.5,
    "current_node": "e",
    "mapping": {
        "root": {"id": "root", "message": None, "parent": None, "children": ["s"]},
        "s": {
            "message": {"author": {"role": "system"}, "content": {"content_type": "text", "parts": ["Be brief."]}},
            "parent": "root",
        },
        "q": {
            "message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["6 x 7?"]}},
            "parent": "s",
        },
        "b": {
            "message": {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": ["41"]}},
            "parent": "q",
        },
        "t": {
            "message": {
                "author": {"role": "assistant"},
                "content": {"content_type": "thoughts", "thoughts": [{"content": "6 x 7"}]},
            },
            "parent": "q",
        },
        "c": {
            "message": {
                "author": {"role": "assistant"},
                "recipient": "python",
                "content": {"content_type": "code", "text": "6*7"},
            },
            "parent": "t",
        },
        "d": {
            "message": {"author": {"role": "tool"}, "content": {"content_type": "execution_output", "text": "42"}},
            "parent": "c",
        },
        "e": {
            "message": {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": ["42"]}},
            "parent": "d",
        },
    },
}
LLAMA_CPP = {
    "conv": {"id": "c", "name": "Numbers", "lastModified": 1_760_000_100_000, "currNode": "3"},
    "messages": [
        {"id": "0", "type": "root", "role": "system", "content": "", "parent": None, "timestamp": 1_760_000_000_000},
        {"id": "s", "type": "system", "role": "system", "content": "Be brief.", "parent": "0"},
        {"id": "1", "type": "text", "role": "user", "content": "6 x 7?", "parent": "s"},
        {"id": "2", "type": "text", "role": "assistant", "content": "41", "parent": "1"},
        {"id": "3", "type": "text", "role": "assistant", "content": "42", "parent": "1", "reasoningContent": "6 x 7"},
    ],
}
FILES = {"open-webui": [OPEN_WEBUI], "chatgpt": [CHATGPT], "llama.cpp": LLAMA_CPP}


def describe(conversation: dict[str, Any]) -> dict[str, Any]:
    """What must survive: texts, thoughts, the tree, the open branch."""
    contents = {message["id"]: message["content"] for message in conversation["messages"]} | {None: None}
    tree = [
        (message["role"], message["content"], message["details"].get("thoughts", ""), contents[message["parent"]])
        for message in conversation["messages"]
    ]
    names = ("title", "system", "pinned")
    return {name: conversation[name] for name in names} | {
        "tree": sorted(tree, key=str),
        "leaf": contents[conversation["leaf"]],
    }


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_export_of_another_program_is_read_with_its_branches_and_thoughts(program: str, store: Store) -> None:
    assert find_program(FILES[program]) == program
    store.load("ann", read_conversations(FILES[program]))
    conversation, _ = next(iter(store.export("ann")))
    assert describe(conversation) == {
        "title": "Numbers",
        "system": "Be brief.",
        "pinned": program == "open-webui",
        "leaf": "42",
        "tree": [
            ("assistant", "41", "", "6 x 7?"),
            ("assistant", "42", "6 x 7", "6 x 7?"),
            ("user", "6 x 7?", "", None),
        ],
    }
    assert conversation["updated"] == pytest.approx(1_760_000_100, abs=1)


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_written_for_another_program_is_read_back(program: str, store: Store) -> None:
    store.load("ann", read_conversations([OPEN_WEBUI]))
    store.create("ann", title="empty")
    exported = [conversation for conversation, _ in store.export("ann")]
    text = json.dumps([writer(program)(conversation) for conversation in exported])
    again = read_conversations(json.loads(text))
    lost = {"tree"} if program == "chatgpt" else set()  # its file has no place for thoughts beside an answer
    pinned = {"pinned"} if program == "llama.cpp" else set()
    for before, after in zip(exported, again, strict=True):
        old, new = describe(before), describe({"pinned": False, **after})
        assert {name: old[name] for name in old.keys() - lost - pinned} == {
            name: new[name] for name in new.keys() - lost - pinned
        }


def test_ratings_of_open_webui_are_kept(store: Store) -> None:
    rated = [{"rating": 1, "reason": "accurate", "comment": "nice"}, {"rating": -1}, {"rating": 7}, None]
    messages = {
        str(n): {"id": str(n), "parentId": None, "role": "assistant", "content": "x", "annotation": annotation}
        for n, annotation in enumerate(rated)
    }
    store.load("ann", read_conversations([{"chat": {"history": {"messages": messages}}}]))
    conversation, _ = next(iter(store.export("ann")))
    assert [(m["rating"], m["reason"]) for m in conversation["messages"]] == [
        (1, "accurate: nice"),
        (-1, ""),
        (0, ""),
        (0, ""),
    ]


def test_an_early_export_of_open_webui_has_only_the_open_branch(store: Store) -> None:
    chat = {"title": "Old", "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    store.load("ann", read_conversations([{"chat": chat}]))
    conversation, _ = next(iter(store.export("ann")))
    assert [message["content"] for message in conversation["messages"]] == ["a", "b"]


def test_characters_and_types_that_cannot_be_stored_are_no_obstacle(store: Store) -> None:
    item = {"title": 3, "create_time": float("1e300"), "current_node": [], "mapping": {
        "a": {"message": {"author": {"role": "user"}, "content": {"parts": ["x\0\ud800", {"image": 1}, None]}}},
        "b": {"message": {"author": None, "content": 7}, "parent": "a"},
        "c": None,
        "d": {"message": {"author": {"role": "assistant"}, "content": {"parts": ["y"]}}, "parent": "b"},
    }}  # fmt: skip
    store.load("ann", read_conversations([item]))
    conversation, _ = next(iter(store.export("ann")))
    assert [message["content"] for message in conversation["messages"]] == ["x\ufffd\ufffd", "y"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([OPEN_WEBUI, 3], "conversation 2 of the file is none of open-webui's"),
        ([OPEN_WEBUI, CHATGPT], "conversation 2 of the file is none of open-webui's"),
        (
            [{"mapping": {"a": {"parent": "b"}, "b": {"parent": "a"}}}],
            "conversation 1 of the file: a message of it is its own ancestor",
        ),
        (
            {"conv": {}, "messages": [{"id": 1}, {"id": "1"}]},
            "conversation 1 of the file: two of its messages have the same id",
        ),
    ],
)
def test_a_damaged_file_is_named_with_the_conversation(data: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read_conversations(data)


def test_a_long_chain_is_read(store: Store) -> None:
    messages = [{"id": n, "parent": n - 1 if n else None, "role": "user", "content": "x"} for n in range(5000)]
    (conversation,) = read_conversations({"conv": {}, "messages": messages})
    assert len(conversation["messages"]) == 5000 and conversation["leaf"] == "4999"


@pytest.mark.parametrize("data", [[], {}, [{"messages": []}], {"format": "lmcraft-conversations"}, 3, None, [[]]])
def test_other_files_are_nobodys(data: Any) -> None:
    assert find_program(data) == ""
