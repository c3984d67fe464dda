"""Stored responses: each owner's own, chained into conversations, within limits."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lmcraft.database import memory_database
from lmcraft.errors import UserError
from lmcraft.server.conversations.response_store import MAX_AGE_SECONDS, MAX_CONVERSATION_BYTES, ResponseStore
from lmcraft.server.conversations.store import NotFoundError, Store
from lmcraft.server.conversations.tables import metadata


def id_of(n: int) -> str:
    return f"resp_{n:032x}"


def add(store: ResponseStore, n: int, *, owner: str = "ann", text: str = "hi", previous: int | None = None) -> str:
    item = {"type": "message", "role": "user", "content": text}
    store.add(owner, {"id": id_of(n), "output": []}, [item], None if previous is None else id_of(previous))
    return id_of(n)


@pytest.fixture(params=["file", "memory"])
def responses(request: pytest.FixtureRequest, store: Store) -> Iterator[ResponseStore]:
    yield ResponseStore(store.engine) if request.param == "file" else ResponseStore.in_memory()


def test_a_response_belongs_to_its_owner(responses: ResponseStore) -> None:
    name = add(responses, 1, text="天\0 \u2028")
    assert responses.get("ann", name).response == {"id": name, "output": []}
    assert responses.get("ann", name).input[0]["content"] == "天\0 \u2028"
    for owner, response in (("bob", name), ("ann", id_of(2)), ("ann", "' OR 1=1"), ("ann", "resp_\0")):
        for call in (responses.get, responses.conversation, responses.delete):
            with pytest.raises(NotFoundError):
                call(owner, response)
    responses.delete("ann", name)
    with pytest.raises(NotFoundError):
        responses.get("ann", name)


def test_a_conversation_is_the_chain_of_its_responses(responses: ResponseStore) -> None:
    for n, previous in ((1, None), (2, 1), (3, 2), (4, 2), (5, 4)):
        add(responses, n, text=str(n), previous=previous)
    texts = [stored.input[0]["content"] for stored in responses.conversation("ann", id_of(5))]
    assert texts == ["1", "2", "4", "5"]
    responses.delete("ann", id_of(2))
    with pytest.raises(NotFoundError, match=id_of(2)):
        responses.conversation("ann", id_of(5))


def test_a_conversation_of_another_owner_cannot_be_continued(responses: ResponseStore) -> None:
    add(responses, 1, owner="bob")
    add(responses, 2, owner="ann", previous=1)
    with pytest.raises(NotFoundError):
        responses.conversation("ann", id_of(2))


def test_a_conversation_that_is_too_large_is_refused(responses: ResponseStore) -> None:
    add(responses, 1, text="x" * (MAX_CONVERSATION_BYTES // 2))
    add(responses, 2, text="x" * (MAX_CONVERSATION_BYTES // 2), previous=1)
    with pytest.raises(UserError, match="send the part that matters as input"):
        responses.conversation("ann", id_of(2))


@pytest.mark.parametrize(("limits", "kept"), [({"max_responses": 2}, [3, 4]), ({"max_bytes": 3200}, [2, 3, 4])])
def test_the_oldest_responses_of_an_owner_make_room(limits: dict[str, int], kept: list[int]) -> None:
    store = ResponseStore(memory_database(metadata), **limits)
    add(store, 9, owner="bob")
    for n in range(1, 5):
        add(store, n, text="x" * 900)
    assert [n for n in range(1, 5) if is_kept(store, n)] == kept
    assert store.get("bob", id_of(9))


def test_all_owners_together_have_a_limit_in_memory() -> None:
    store = ResponseStore(memory_database(metadata), max_total_bytes=3200)
    for n in range(1, 5):
        add(store, n, owner="ann" if n % 2 else "bob", text="x" * 900)
    assert [n for n in (1, 3) if is_kept(store, n)] == [3] and store.get("bob", id_of(2))


def is_kept(store: ResponseStore, n: int) -> bool:
    try:
        return bool(store.get("ann", id_of(n)))
    except NotFoundError:
        return False


def test_old_responses_are_deleted() -> None:
    now = [0.0]
    store = ResponseStore(memory_database(metadata), clock=lambda: now[0])
    add(store, 1)
    now[0] = MAX_AGE_SECONDS + 1
    add(store, 2, owner="bob")
    assert not is_kept(store, 1)


def test_threads_share_the_database_in_memory() -> None:
    store = ResponseStore.in_memory()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: add(store, n), range(40)))
        assert all(pool.map(lambda n: is_kept(store, n), range(40)))
