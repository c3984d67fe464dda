"""The store: whose a conversation is, branches, what is kept exactly, and what a database must be.

`LMCRAFT_TEST_POSTGRES=postgresql://...` runs the same on an empty database of PostgreSQL.
"""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from lmcraft.errors import UserError
from lmcraft.server.conversations import validation
from lmcraft.server.conversations.store import AbsentError, Store
from lmcraft.server.conversations.tables import metadata

POSTGRES = os.environ.get("LMCRAFT_TEST_POSTGRES", "")


@pytest.fixture(params=["sqlite", "postgresql"] if POSTGRES else ["sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(POSTGRES if request.param == "postgresql" else tmp_path / "chats.sqlite")
    yield opened
    if request.param == "postgresql":
        metadata.drop_all(opened._engine)
    opened.close()


def asked(store: Store, owner: str = "ann", **settings: Any) -> tuple[str, str]:
    """A conversation with a question: the ids of both."""
    conversation = store.create(owner, **settings)["id"]
    return conversation, store.add(owner, conversation, role="user", content="why?", parent=None)["id"]


def answer(store: Store, conversation: str, parent: str, content: str = "because", owner: str = "ann", **more: Any) -> str:
    return str(store.add(owner, conversation, role="assistant", content=content, parent=parent, **more)["id"])


def test_what_is_put_in_comes_out(store: Store) -> None:
    conversation, question = asked(store, title="Sky", system="Be brief.", model="tiny", settings={"temperature": 0.5})
    details = {"seed": 7, "tokens": [{"id": 1, "text": "\0", "logprob": -0.1, "alternatives": [{"id": 2, "text": "天"}]}]}
    reply = answer(store, conversation, question, model="tiny", details=details)
    assert store.rate("ann", reply, -1, "wrong")["reason"] == "wrong"
    assert store.change("ann", conversation, {"title": "Blue sky", "leaf": question})["leaf"] == question
    found = store.get("ann", conversation)
    assert [m["role"] for m in found["messages"]] == ["user", "assistant"] and found["messages"][1]["parent"] == question
    assert found["messages"][1]["details"] == details and found["messages"][1]["rating"] == -1
    assert (found["title"], found["system"], found["model"]) == ("Blue sky", "Be brief.", "tiny")
    assert found["settings"] == {"temperature": 0.5}


def test_the_ids_of_another_owner_are_as_absent_as_any(store: Store) -> None:
    conversation, question = asked(store)
    first, second = answer(store, conversation, question), answer(store, conversation, question, "since")
    mine, _ = asked(store, owner="bob")
    before = store.get("ann", conversation)
    calls = (
        lambda: store.get("bob", conversation),
        lambda: store.change("bob", conversation, {"title": "mine"}),
        lambda: store.delete("bob", conversation),
        lambda: store.add("bob", conversation, role="user", content="x", parent=question),
        lambda: store.add("bob", mine, role="user", content="x", parent=question),
        lambda: store.add("bob", mine, role="assistant", content="x", parent=None, edited_from=first),
        lambda: store.change("bob", mine, {"leaf": question}),
        lambda: store.delete_message("bob", question),
        lambda: store.rate("bob", first, 1),
        lambda: store.prefer("bob", first, second),
        lambda: store.get("ann", "f" * 32),
        lambda: store.get("ann", "\0' OR 1=1"),
    )
    for call in calls:
        with pytest.raises(AbsentError, match="there is no"):
            call()
    assert store.get("ann", conversation) == before
    assert [c["id"] for c in store.find("bob")[0]] == [mine] and store.owners() == ["ann", "bob"]
    assert [c["id"] for c, _ in store.export("bob")] == [mine]


def test_a_branch_goes_with_what_hangs_on_it_and_leaves_its_siblings(store: Store) -> None:
    conversation, question = asked(store)
    left, right = answer(store, conversation, question, "left"), answer(store, conversation, question, "right")
    edit = answer(store, conversation, question, "left, but better", edited_from=left)
    follow = store.add("ann", conversation, role="user", content="and?", parent=left)["id"]
    answer(store, conversation, follow)
    store.prefer("ann", right, left)
    store.delete_message("ann", left)
    found, picks = store.get_with_preferences("ann", conversation)
    assert [m["id"] for m in found["messages"]] == [question, right, edit] and not picks
    assert found["messages"][-1]["edited_from"] == left  # still a person's wording
    assert found["leaf"] == question  # what was shown last is gone; its parent is not
    store.delete("ann", conversation)
    with store._engine.connect() as connection:
        assert [connection.execute(sa.select(sa.func.count()).select_from(t)).scalar() for t in metadata.sorted_tables] == [
            1 if t.name == "lmcraft_store" else 0 for t in metadata.sorted_tables
        ]


def test_a_conversation_longer_than_a_recursion_of_sqlite_is_deleted(store: Store) -> None:
    chain = [{"id": str(n), "parent": str(n - 1) if n else None, "role": "user", "content": "x"} for n in range(3000)]
    store.load("ann", [{"messages": chain}])
    [(whole, _)] = store.export("ann")
    store.delete_message("ann", whole["messages"][1]["id"])
    assert len(store.get("ann", whole["id"])["messages"]) == 1
    store.load("ann", [{"messages": chain}])
    for conversation in store.find("ann")[0]:
        store.delete("ann", conversation["id"])
    assert store.find("ann") == ([], False)


def test_only_answers_to_one_prompt_are_edited_rated_and_picked(store: Store) -> None:
    conversation, question = asked(store)
    first, second = answer(store, conversation, question), answer(store, conversation, question, "since")
    deeper = answer(store, conversation, first)
    for call in (
        lambda: store.rate("ann", question, 1),
        lambda: store.rate("ann", first, 2),
        lambda: store.prefer("ann", first, first),
        lambda: store.prefer("ann", first, deeper),
        lambda: store.prefer("ann", first, question),
        lambda: answer(store, conversation, first, edited_from=first),
        lambda: store.add("ann", conversation, role="user", content="x", parent=question, edited_from=first),
        lambda: store.add("ann", conversation, role="system", content="x", parent=None),
    ):
        with pytest.raises(UserError, match=r"edited_from|rating|chosen|role"):
            call()
    store.prefer("ann", first, second)
    latest = store.prefer("ann", second, first, "changed my mind")
    assert store.get_with_preferences("ann", conversation)[1] == [latest]


FOUND = {"ÉTÉ": 1, "第一": 1, "50%": 1, "0%_": 1, "5_%": 0, "": 3, "BLUE": 1}


@pytest.mark.parametrize(("search", "found"), FOUND.items())
def test_search_is_in_any_case_and_nothing_in_it_is_a_pattern(store: Store, search: str, found: int) -> None:
    store.create("ann", title="Un été")
    store.create("ann", title="第一章")
    conversation, _ = asked(store)
    store.add("ann", conversation, role="user", content="Is a 50%_share \\ blue?", parent=None)
    asked(store, owner="bob", title="Un été 第一 50%_ blue")
    assert len(store.find("ann", search=search)[0]) == found


def test_pages_have_everything_once_even_of_one_instant(store: Store) -> None:
    times = [1.0, 2.0, 2.0, 2.0, 3.0, 4.0, 4.0]
    store.load("ann", [{"created": time, "messages": []} for time in times])
    seen: list[float] = []
    more, before = True, None
    while more:
        page, more = store.find("ann", limit=2, before=before)
        seen += [one["updated"] for one in page]
        before = page[-1]["updated"]
    assert seen == sorted(times, reverse=True)
    assert store.find("ann", limit=7)[1] is False


@pytest.mark.parametrize("bad", ["a\0b", "a\ud800", "\udfff"])
def test_text_that_cannot_be_kept_exactly_is_refused_by_name(store: Store, bad: str) -> None:
    conversation, question = asked(store)
    reply = answer(store, conversation, question)
    for field, call in {
        "title": lambda: store.create("ann", title=bad),
        "system": lambda: store.change("ann", conversation, {"system": bad}),
        "content": lambda: answer(store, conversation, question, bad),
        "reason": lambda: store.rate("ann", reply, 1, bad),
        "search": lambda: store.find("ann", search=bad),
    }.items():
        with pytest.raises(UserError, match=f"^{field} has "):
            call()


def test_strange_text_is_kept_exactly(store: Store) -> None:
    conversation, question = asked(store)
    strange = "%_\\'\"; DROP TABLE messages;--\r\n\t\x01\x7f\u200b\ufeff\uffff🂡e\u0301é{{x}}\r"
    reply = answer(store, conversation, question, strange, details={strange: strange})
    long = answer(store, conversation, question, "天" * validation.CONTENT)
    kept = {m["id"]: m for m in store.get("ann", conversation)["messages"]}
    assert kept[reply]["content"] == strange and kept[reply]["details"] == {strange: strange}
    assert kept[long]["content"] == "天" * validation.CONTENT


def test_every_value_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation, question = asked(store)
    deep: dict[str, Any] = {}
    for _ in range(validation.DEPTH):
        deep = {"a": deep}
    for match, call in {
        "title has 201": lambda: store.create("ann", title="x" * 201),
        "model has 201": lambda: store.create("ann", model="x" * 201),
        "content has 1,000,001": lambda: answer(store, conversation, question, "x" * 1_000_001),
        "details takes 1,04": lambda: answer(store, conversation, question, details={"a": "x" * 2**20}),
        "details is nested": lambda: answer(store, conversation, question, details=deep),
        "details cannot": lambda: answer(store, conversation, question, details={"a": float("nan")}),
        "settings cannot": lambda: store.create("ann", settings={"a": "\ud800"}),
    }.items():
        with pytest.raises(UserError, match=match):
            call()
    monkeypatch.setattr(validation, "MESSAGES", 1)
    with pytest.raises(UserError, match="the most that one can"):
        answer(store, conversation, question)


def test_writers_from_eight_threads_lose_nothing(store: Store) -> None:
    conversation, question = asked(store)

    def write(writer: int) -> None:
        for n in range(10):
            answer(store, conversation, question, f"{writer}.{n}")
            store.create("ann", title=f"{writer}.{n}")
            assert store.get("ann", conversation)["messages"][0]["id"] == question

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    written = sorted(f"{writer}.{n}" for writer in range(8) for n in range(10))
    assert sorted(m["content"] for m in store.get("ann", conversation)["messages"][1:]) == written
    assert sorted(c["title"] for c in store.find("ann", limit=200)[0] if c["title"]) == written


def test_an_import_is_all_or_nothing(store: Store) -> None:
    good = {"messages": [{"id": "1", "role": "user", "content": "x"}]}
    for match, bad in {
        r"conversations.1: parent='9'": [good, {"messages": [{"id": "2", "parent": "9", "role": "user", "content": "x"}]}],
        "the id '1' is that of two": [good, good],
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


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE messages (id)")
    other.close()


def _statement(path: Path, statement: str) -> None:
    Store.open(path).close()
    with sqlite3.connect(path) as own:
        own.execute(statement)
    own.close()


def _damaged(path: Path) -> None:
    store = Store.open(path)
    store.load("ann", [{"messages": [{"id": str(n), "role": "user", "content": "x" * 3000} for n in range(50)]}])
    store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:20_000] + b"\xff" * (len(whole) - 40_000) + whole[-20_000:])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"not a database at all" * 100), "cannot be opened"),
        (_damaged, "damaged|cannot be opened"),
        (_foreign, "has tables of something else"),
        (lambda path: _statement(path, "UPDATE lmcraft_store SET version = 99"), "newer lmcraft.*99"),
        (lambda path: _statement(path, "DROP TABLE preferences"), "parts of it are missing"),
        (lambda path: path.mkdir(), "is a folder"),
    ],
)
def test_a_file_that_is_no_store_is_refused_and_left_as_it_is(make: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(UserError, match=rf"store '.*chats\.sqlite'.*({message})") as raised:
        Store.open(path)
    assert "\n" not in str(raised.value)
    assert (path.read_bytes() if path.is_file() else b"") == before and [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("mysql://h/d", "unknown kind 'mysql'"),
        ("sqlite://", "name a file"),
        ("postgresql+psycopg://u:secret@127.0.0.1:1/d", "needs the package|cannot be opened"),
        ("postgresql://u:secret@h:notaport/d", "no address"),
        ("nowhere/chats.sqlite", "no folder 'nowhere'"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_without_its_password(
    where: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as raised:
        Store.open(where)
    assert "store" in str(raised.value) and "secret" not in str(raised.value)
    assert not any(tmp_path.iterdir())


def test_a_store_is_made_only_where_it_may_be(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        Store.open(tmp_path / "chats.sqlite", create=False)
    Store.open(tmp_path / "chats.sqlite").close()
    Store.open(f"sqlite:///{tmp_path / 'chats.sqlite'}", create=False).close()
    with sqlite3.connect(tmp_path / "chats.sqlite") as own:
        assert own.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    own.close()
