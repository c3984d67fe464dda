"""Opening a store: files and URLs that are refused, and files that are damaged."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.server.conversations.response_store import ResponseStore
from lmcraft.server.conversations.store import NotFoundError, Store
from lmcraft.server.conversations.tables import SCHEMA, VERSION


def make_foreign_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE messages (id)")
    connection.close()


def make_and_execute(path: Path, statement: str) -> None:
    Store.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def make_damaged_store(path: Path) -> None:
    store = Store.open(path)
    store.load("ann", [{"messages": [{"id": str(n), "role": "user", "content": "x" * 3000} for n in range(50)]}])
    store.close()
    content = path.read_bytes()
    path.write_bytes(content[:20_000] + b"\xff" * (len(content) - 40_000) + content[-20_000:])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"not a database at all" * 100), "cannot be opened"),
        (make_damaged_store, "damaged|cannot be opened"),
        (make_foreign_database, "has another program's tables"),
        (lambda path: make_and_execute(path, "UPDATE lmcraft_store SET version = 99"), "newer lmcraft.*99"),
        (lambda path: make_and_execute(path, "DROP TABLE preferences"), "tables are missing"),
        (lambda path: path.mkdir(), "is a folder"),
    ],
)
def test_a_file_that_is_not_a_store_is_refused_and_unchanged(make: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite"
    make(path)
    path.chmod(0o755 if path.is_dir() else 0o644)
    before, mode = path.read_bytes() if path.is_file() else b"", path.stat().st_mode
    with pytest.raises(UserError, match=rf"store '.*chats\.sqlite'.*({message})") as raised:
        Store.open(path)
    assert "\n" not in str(raised.value)
    assert path.stat().st_mode == mode
    assert (path.read_bytes() if path.is_file() else b"") == before and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_database_that_another_program_has_open_keeps_its_modes(tmp_path: Path) -> None:
    path = tmp_path / "webui.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE chat (id)")
    connection.commit()
    files = sorted(tmp_path.iterdir())
    for file in files:
        file.chmod(0o664)
    with pytest.raises(UserError, match="has another program's tables"):
        Store.open(path)
    assert sorted(tmp_path.iterdir()) == files and {file.stat().st_mode & 0o777 for file in files} == {0o664}
    connection.close()


@pytest.mark.parametrize("mode", ["", "wal", "delete"])
def test_a_store_becomes_private(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite"
    make_and_execute(path, f"PRAGMA journal_mode={mode}") if mode else path.touch()
    path.chmod(0o666)
    store = Store.open(path)
    store.load("ann", [])
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    store.close()


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("mysql://h/d", "unknown database type 'mysql'"),
        ("sqlite://", "name a file"),
        ("postgresql+psycopg://u:secret@127.0.0.1:1/d", "needs the package|cannot be opened"),
        ("postgresql://u:secret@h:notaport/d", "not a valid URL"),
        ("nowhere/chats.sqlite", "no folder 'nowhere'"),
    ],
)
def test_errors_about_a_url_hide_its_password(
    location: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as raised:
        Store.open(location)
    assert "store" in str(raised.value) and "secret" not in str(raised.value)
    assert not any(tmp_path.iterdir())


def test_a_store_is_created_only_on_request(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        Store.open(tmp_path / "chats.sqlite", create=False)
    Store.open(tmp_path / "chats.sqlite").close()
    Store.open(f"sqlite:///{tmp_path / 'chats.sqlite'}", create=False).close()
    with sqlite3.connect(tmp_path / "chats.sqlite") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize("old", range(1, VERSION))
def test_an_older_store_gets_the_tables_and_columns_that_it_lacks(tmp_path: Path, old: int) -> None:
    path = tmp_path / "chats.sqlite"
    store = Store.open(path)
    conversation = store.create("ann", title="kept")
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        for column in (column for added, columns in SCHEMA.added_columns.items() if added > old for column in columns):
            connection.execute(f"ALTER TABLE {column.table.name} DROP COLUMN {column.name}")
        if old == 1:
            connection.execute("DROP TABLE responses")
        connection.execute(f"UPDATE lmcraft_store SET version = {old}")
        connection.commit()
    for _ in range(2):
        store = Store.open(path)
        assert store.get("ann", conversation["id"]) == conversation
        assert store.change("ann", conversation["id"], {"pinned": False}) | {"messages": []} == conversation
        with pytest.raises(NotFoundError):
            ResponseStore(store.engine).get("ann", "resp_none")
        store.close()
