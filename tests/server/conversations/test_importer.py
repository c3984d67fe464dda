"""Imported conversations."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.server.conversations.store import Store


def test_an_import_is_all_or_nothing(store: Store) -> None:
    good = {"messages": [{"id": "1", "role": "user", "content": "x"}]}
    for match, bad in {
        r"conversations.1: parent='9'": [good, {"messages": [{"id": "2", "parent": "9", "role": "user", "content": "x"}]}],
        "two messages have the id '1'": [good, good],
        "content has NUL": [good, {"messages": [{"id": "2", "role": "user", "content": "\0"}]}],
        "leaf='9'": [good, {"messages": [], "leaf": "9"}],
    }.items():
        with pytest.raises(UserError, match=match):
            store.load("ann", bad)
    with pytest.raises(UserError, match=r"preferences.0: chosen='1'.*|preferences.0: rejected='7'"):
        store.load("ann", [good], [{"chosen": "1", "rejected": "7"}])
    assert store.find("ann") == ([], False)


def test_a_killed_import_leaves_nothing(tmp_path: Path) -> None:
    Store.open(tmp_path / "chats.sqlite").close()
    code = f"""
import os, signal, sqlalchemy
from lmcraft.server.conversations.store import Store
store = Store.open({str(tmp_path / "chats.sqlite")!r})
def killed(connection, cursor, statement, *_):
    if statement.startswith("INSERT INTO preferences"):  # all the rest has been written
        os.kill(os.getpid(), signal.SIGKILL)
sqlalchemy.event.listen(store._engine, "before_cursor_execute", killed)
messages = [{{"id": str(n), "role": "assistant", "content": "x" * 1000}} for n in range(5000)]
store.load("ann", [{{"messages": messages}}], [{{"chosen": "1", "rejected": "2"}}])
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert Store.open(tmp_path / "chats.sqlite").find("ann") == ([], False)
