"""The store: ownership, branches, exact texts and bounds.

`LMCRAFT_TEST_POSTGRES=postgresql://...` runs the same tests on an empty PostgreSQL database.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from lmcraft.errors import UserError
from lmcraft.server.conversations import validation
from lmcraft.server.conversations.store import ConflictError, NotFoundError, Store
from lmcraft.server.conversations.tables import metadata


def create_conversation(store: Store, owner: str = "ann", **settings: Any) -> tuple[str, str]:
    """Create a conversation with a question; returns the ids of both."""
    conversation = store.create(owner, **settings)["id"]
    return conversation, store.add(owner, conversation, role="user", content="why?", parent=None)["id"]


def add_answer(
    store: Store, conversation: str, parent: str, content: str = "because", owner: str = "ann", **fields: Any
) -> str:
    return str(store.add(owner, conversation, role="assistant", content=content, parent=parent, **fields)["id"])


def test_values_round_trip(store: Store) -> None:
    conversation, question = create_conversation(
        store, title="Sky", system="Be brief.", model="tiny", settings={"temperature": 0.5}
    )
    details = {"seed": 7, "tokens": [{"id": 1, "text": "\0", "logprob": -0.1, "alternatives": [{"id": 2, "text": "天"}]}]}
    reply = add_answer(store, conversation, question, model="tiny", details=details)
    assert store.rate("ann", reply, -1, "wrong")["reason"] == "wrong"
    assert store.change("ann", conversation, {"title": "Blue sky", "leaf": question})["leaf"] == question
    stored = store.get("ann", conversation)
    assert [m["role"] for m in stored["messages"]] == ["user", "assistant"] and stored["messages"][1]["parent"] == question
    assert stored["messages"][1]["details"] == details and stored["messages"][1]["rating"] == -1
    assert (stored["title"], stored["system"], stored["model"]) == ("Blue sky", "Be brief.", "tiny")
    assert stored["settings"] == {"temperature": 0.5}


def test_ids_of_another_owner_are_not_found(store: Store) -> None:
    conversation, question = create_conversation(store)
    first, second = add_answer(store, conversation, question), add_answer(store, conversation, question, "since")
    bobs_conversation, _ = create_conversation(store, owner="bob")
    before = store.get("ann", conversation)
    calls = (
        lambda: store.get("bob", conversation),
        lambda: store.change("bob", conversation, {"title": "mine"}),
        lambda: store.delete("bob", conversation),
        lambda: store.add("bob", conversation, role="user", content="x", parent=question),
        lambda: store.add("bob", bobs_conversation, role="user", content="x", parent=question),
        lambda: store.add("bob", bobs_conversation, role="assistant", content="x", parent=None, edited_from=first),
        lambda: store.change("bob", bobs_conversation, {"leaf": question}),
        lambda: store.delete_message("bob", question),
        lambda: store.rate("bob", first, 1),
        lambda: store.prefer("bob", first, second),
        lambda: store.get("ann", "f" * 32),
        lambda: store.get("ann", "\0' OR 1=1"),
    )
    for call in calls:
        with pytest.raises(NotFoundError, match="there is no"):
            call()
    assert store.get("ann", conversation) == before
    assert [c["id"] for c in store.find("bob")[0]] == [bobs_conversation] and store.owners() == ["ann", "bob"]
    assert [c["id"] for c, _ in store.export("bob")] == [bobs_conversation]


def test_deleting_a_message_deletes_its_descendants_but_not_its_siblings(store: Store) -> None:
    conversation, question = create_conversation(store)
    left, right = add_answer(store, conversation, question, "left"), add_answer(store, conversation, question, "right")
    edit = add_answer(store, conversation, question, "left, but better", edited_from=left)
    follow = store.add("ann", conversation, role="user", content="and?", parent=left)["id"]
    add_answer(store, conversation, follow)
    store.prefer("ann", right, left)
    store.delete_message("ann", left)
    stored, preferences = store.get_with_preferences("ann", conversation)
    assert [m["id"] for m in stored["messages"]] == [question, right, edit] and not preferences
    assert stored["messages"][-1]["edited_from"] == left  # it still counts as an edit
    assert stored["leaf"] == question  # the parent of the deleted leaf
    store.delete("ann", conversation)
    with store.engine.connect() as connection:
        assert [connection.execute(sa.select(sa.func.count()).select_from(t)).scalar() for t in metadata.sorted_tables] == [
            1 if t.name == "lmcraft_store" else 0 for t in metadata.sorted_tables
        ]


def test_a_chain_deeper_than_sqlites_recursion_limit_is_deleted(store: Store) -> None:
    chain = [{"id": str(n), "parent": str(n - 1) if n else None, "role": "user", "content": "x"} for n in range(3000)]
    store.load("ann", [{"messages": chain}])
    [(conversation, _)] = store.export("ann")
    store.delete_message("ann", conversation["messages"][1]["id"])
    assert len(store.get("ann", conversation["id"])["messages"]) == 1
    store.load("ann", [{"messages": chain}])
    for conversation in store.find("ann")[0]:
        store.delete("ann", conversation["id"])
    assert store.find("ann") == ([], False)


def test_only_answers_to_one_prompt_can_be_edited_rated_and_compared(store: Store) -> None:
    conversation, question = create_conversation(store)
    first, second = add_answer(store, conversation, question), add_answer(store, conversation, question, "since")
    deeper = add_answer(store, conversation, first)
    for call in (
        lambda: store.rate("ann", question, 1),
        lambda: store.rate("ann", first, 2),
        lambda: store.prefer("ann", first, first),
        lambda: store.prefer("ann", first, deeper),
        lambda: store.prefer("ann", first, question),
        lambda: add_answer(store, conversation, first, edited_from=first),
        lambda: store.add("ann", conversation, role="user", content="x", parent=question, edited_from=first),
        lambda: store.add("ann", conversation, role="system", content="x", parent=None),
    ):
        with pytest.raises(UserError, match=r"edited_from|rating|chosen|role"):
            call()
    store.prefer("ann", first, second)
    latest = store.prefer("ann", second, first, "changed my mind")
    assert store.get_with_preferences("ann", conversation)[1] == [latest]


def test_a_client_may_choose_ids_and_repeat_itself(store: Store) -> None:
    conversation, question, answer = (f"{n:032x}" for n in (1, 2, 3))
    for _ in range(2):
        assert store.create("ann", id=conversation, title="Sky")["id"] == conversation
    for _ in range(2):
        store.add("ann", conversation, id=question, role="user", content="why?", parent=None)
    for rating in (1, 0):
        added = store.add(
            "ann", conversation, id=answer, role="assistant", content="so", parent=question, details={"a": 0.1}
        )
        assert store.rate("ann", answer, rating)["rating"] == rating and added["id"] == answer
    assert [message["id"] for message in store.get("ann", conversation)["messages"]] == [question, answer]
    other = store.create("bob")["id"]
    for call in (
        lambda: store.create("ann", id=conversation, title="Sea"),
        lambda: store.create("bob", id=conversation, title="Sky"),
        lambda: store.add("ann", conversation, id=question, role="user", content="why not?", parent=None),
        lambda: store.add("bob", other, id=question, role="user", content="why?", parent=None),
    ):
        with pytest.raises(ConflictError, match="choose another id"):
            call()
    for bad in ("", "1", "X" * 32, "é" * 32):
        with pytest.raises(UserError, match=r"id=.* is invalid"):
            store.create("ann", id=bad)
        with pytest.raises(UserError, match=r"id=.* is invalid"):
            store.add("ann", conversation, id=bad, role="user", content="why?", parent=None)


def test_the_two_answers_that_are_compared_are_stored(store: Store) -> None:
    conversation, question = create_conversation(store)
    left, right = add_answer(store, conversation, question, "left"), add_answer(store, conversation, question, "right")
    updated = store.get("ann", conversation)["updated"]
    assert store.change("ann", conversation, {"pair": [right, left]})["pair"] == [right, left]
    stored = store.get("ann", conversation)
    assert stored["pair"] == [right, left] and stored["updated"] == updated
    store.load("ann", [stored])
    imported = store.get("ann", store.find("ann")[0][0]["id"])
    copy = imported if imported["id"] != conversation else store.get("ann", store.find("ann")[0][1]["id"])
    contents = {message["id"]: message["content"] for message in copy["messages"]}
    assert [contents[member] for member in copy["pair"]] == ["right", "left"]
    for pair in ([left], [left, left], [left, question]):
        with pytest.raises(UserError, match="pair"):
            store.change("ann", conversation, {"pair": pair})
    with pytest.raises(NotFoundError):
        store.change("ann", conversation, {"pair": [left, "f" * 32]})
    store.delete_message("ann", left)
    assert store.get("ann", conversation)["pair"] == []
    assert store.change("ann", copy["id"], {"pair": []})["pair"] == []


MATCHES_BY_SEARCH = {"ÉTÉ": 1, "第一": 1, "50%": 1, "0%_": 1, "5_%": 0, "": 3, "BLUE": 1}


@pytest.mark.parametrize(("search", "matches"), MATCHES_BY_SEARCH.items())
def test_search_ignores_case_and_has_no_wildcards(store: Store, search: str, matches: int) -> None:
    store.create("ann", title="Un été")
    store.create("ann", title="第一章")
    conversation, _ = create_conversation(store)
    store.add("ann", conversation, role="user", content="Is a 50%_share \\ blue?", parent=None)
    create_conversation(store, owner="bob", title="Un été 第一 50%_ blue")
    assert len(store.find("ann", search=search)[0]) == matches


def test_paging_returns_everything_once_even_with_equal_times(store: Store) -> None:
    times = [1.0, 2.0, 2.0, 2.0, 3.0, 4.0, 4.0]
    store.load("ann", [{"created": time, "messages": []} for time in times])
    seen: list[float] = []
    has_more, before = True, None
    while has_more:
        page, has_more = store.find("ann", limit=2, before=before)
        seen += [conversation["updated"] for conversation in page]
        before = page[-1]["updated"]
    assert seen == sorted(times, reverse=True)
    assert store.find("ann", limit=7)[1] is False


def test_pinned_conversations_come_first_and_only_on_the_first_page(store: Store) -> None:
    store.load("ann", [{"title": f"{n}", "created": float(n), "messages": []} for n in range(5)])
    oldest = store.find("ann")[0][-1]
    store.change("ann", oldest["id"], {"pinned": True})
    page, has_more = store.find("ann", limit=2)
    assert [row["title"] for row in page] == ["0", "4", "3"] and has_more
    assert page[0]["updated"] == oldest["updated"]  # a pin is no change to what the conversation says
    page, has_more = store.find("ann", limit=2, before=page[-1]["updated"])
    assert [row["title"] for row in page] == ["2", "1"] and not has_more


@pytest.mark.parametrize("bad", ["a\0b", "a\ud800", "\udfff"])
def test_text_that_cannot_be_stored_is_refused_by_field(store: Store, bad: str) -> None:
    conversation, question = create_conversation(store)
    reply = add_answer(store, conversation, question)
    for field, call in {
        "title": lambda: store.create("ann", title=bad),
        "system": lambda: store.change("ann", conversation, {"system": bad}),
        "content": lambda: add_answer(store, conversation, question, bad),
        "reason": lambda: store.rate("ann", reply, 1, bad),
        "search": lambda: store.find("ann", search=bad),
    }.items():
        with pytest.raises(UserError, match=f"^{field} has "):
            call()


def test_unusual_text_is_stored_exactly(store: Store) -> None:
    conversation, question = create_conversation(store)
    strange = "%_\\'\"; DROP TABLE messages;--\r\n\t\x01\x7f\u200b\ufeff\uffff🂡e\u0301é{{x}}\r"
    reply = add_answer(store, conversation, question, strange, details={strange: strange})
    long = add_answer(store, conversation, question, "天" * validation.MAX_CONTENT_CHARS)
    messages = {m["id"]: m for m in store.get("ann", conversation)["messages"]}
    assert messages[reply]["content"] == strange and messages[reply]["details"] == {strange: strange}
    assert messages[long]["content"] == "天" * validation.MAX_CONTENT_CHARS


def test_every_value_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation, question = create_conversation(store)
    deep: dict[str, Any] = {}
    for _ in range(validation.MAX_DEPTH):
        deep = {"a": deep}
    for match, call in {
        "title has 201": lambda: store.create("ann", title="x" * 201),
        "model has 201": lambda: store.create("ann", model="x" * 201),
        "content has 1,000,001": lambda: add_answer(store, conversation, question, "x" * 1_000_001),
        "details takes 1,04": lambda: add_answer(store, conversation, question, details={"a": "x" * 2**20}),
        "details is nested": lambda: add_answer(store, conversation, question, details=deep),
        "details cannot be stored": lambda: add_answer(store, conversation, question, details={"a": float("nan")}),
        "settings cannot": lambda: store.create("ann", settings={"a": "\ud800"}),
    }.items():
        with pytest.raises(UserError, match=match):
            call()
    monkeypatch.setattr(validation, "MAX_MESSAGES", 1)
    with pytest.raises(UserError, match="the maximum"):
        add_answer(store, conversation, question)


def test_writers_from_eight_threads_lose_nothing(store: Store) -> None:
    conversation, question = create_conversation(store)

    def write(writer: int) -> None:
        for n in range(10):
            add_answer(store, conversation, question, f"{writer}.{n}")
            store.create("ann", title=f"{writer}.{n}")
            assert store.get("ann", conversation)["messages"][0]["id"] == question

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    written = sorted(f"{writer}.{n}" for writer in range(8) for n in range(10))
    assert sorted(m["content"] for m in store.get("ann", conversation)["messages"][1:]) == written
    assert sorted(c["title"] for c in store.find("ann", limit=200)[0] if c["title"]) == written
