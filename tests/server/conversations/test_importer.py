"""Imported conversations."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.server.conversations.importer import from_transcript, import_rows
from lmcraft.server.conversations.store import Store


def test_an_import_is_all_or_nothing(store: Store) -> None:
    valid = {"messages": [{"id": "1", "role": "user", "content": "x"}]}
    for match, conversations in {
        r"conversations.1: parent='9'": [
            valid,
            {"messages": [{"id": "2", "parent": "9", "role": "user", "content": "x"}]},
        ],
        "two messages have the id '1'": [valid, valid],
        "content has NUL": [valid, {"messages": [{"id": "2", "role": "user", "content": "\0"}]}],
        "leaf='9'": [valid, {"messages": [], "leaf": "9"}],
    }.items():
        with pytest.raises(UserError, match=match):
            store.load("ann", conversations)
    with pytest.raises(UserError, match=r"preferences.0: chosen='1'.*|preferences.0: rejected='7'"):
        store.load("ann", [valid], [{"chosen": "1", "rejected": "7"}])
    assert store.find("ann") == ([], False)


def test_a_killed_import_leaves_nothing(tmp_path: Path) -> None:
    Store.open(tmp_path / "chats.sqlite").close()
    code = f"""
import os, signal, sqlalchemy
from lmcraft.server.conversations.importer import from_transcript, import_rows
from lmcraft.server.conversations.store import Store
store = Store.open({str(tmp_path / "chats.sqlite")!r})
def kill_process(connection, cursor, statement, *_):
    if statement.startswith("INSERT INTO preferences"):  # everything else has been written
        os.kill(os.getpid(), signal.SIGKILL)
sqlalchemy.event.listen(store.engine, "before_cursor_execute", kill_process)
messages = [{{"id": str(n), "role": "assistant", "content": "x" * 1000}} for n in range(5000)]
store.load("ann", [{{"messages": messages}}], [{{"chosen": "1", "rejected": "2"}}])
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert Store.open(tmp_path / "chats.sqlite").find("ann") == ([], False)


def test_missing_values_get_defaults_and_ids_are_new() -> None:
    question = {"id": "1", "role": "user", "content": "why?"}
    reply = {"id": "2", "role": "assistant", "content": "because", "parent": "1", "created": 5.0}
    edit = {"id": "3", "role": "assistant", "content": "since", "parent": "1", "edited_from": "gone"}
    [conversation], messages, [preference] = import_rows(
        "ann", [{"created": 1.0, "messages": [question, reply, edit], "leaf": "2"}], [{"chosen": "2", "rejected": "3"}]
    )
    ids = [message["id"] for message in messages]
    assert conversation["owner"] == "ann" and conversation["updated"] == 1.0 and conversation["leaf"] == ids[1]
    assert [message["created"] for message in messages] == [1.0, 5.0, 1.0]
    assert [message["parent"] for message in messages] == [None, ids[0], ids[0]]
    assert messages[2]["edited_from"] not in (None, "gone")  # its original was deleted, but it is still an edit
    assert (preference["chosen"], preference["rejected"], preference["reason"]) == (ids[1], ids[2], "")
    assert not {"1", "2", "3"} & set(ids)


def test_a_transcript_becomes_a_chain_with_a_title() -> None:
    transcript = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why is\nthe sky blue? " + "x" * 99},
        {"role": "assistant", "content": "Rayleigh."},
    ]
    conversation = from_transcript(transcript)
    assert conversation["system"] == "Be brief." and conversation["title"] == "Why is the sky blue?…"
    assert [message["parent"] for message in conversation["messages"]] == [None, conversation["messages"][0]["id"]]
    assert from_transcript([]) == {"title": "", "system": "", "messages": []}
    with pytest.raises(UserError, match="a system prompt follows other messages"):
        from_transcript([*transcript, transcript[0]])
