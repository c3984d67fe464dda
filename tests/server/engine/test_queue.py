"""`FairQueue`: no item is lost or served twice, and owners take turns."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.server.engine.queue import FairQueue, QueueFull

OWNERS = st.sampled_from("abcd")
PUT, GET = st.tuples(st.just("put"), OWNERS), st.tuples(st.just("get"), st.just(""))
REMOVE = st.tuples(st.just("remove"), st.integers(0, 30))


class Item:
    """Items equal each other, so only their identity distinguishes them."""

    def __init__(self, owner: str) -> None:
        self.owner = owner

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def is_in(item: Item, items: list[Item]) -> bool:
    return any(item is other for other in items)


@settings(deadline=None)
@given(st.lists(st.one_of(PUT, PUT, GET, REMOVE), max_size=60), st.integers(1, 8))
def test_every_item_is_served_once_in_order_and_the_bound_holds(actions: list[tuple[str, object]], bound: int) -> None:
    queue: FairQueue[Item] = FairQueue(bound)
    waiting: list[Item] = []
    for action, value in actions:
        if action == "put":
            new = Item(str(value))
            if len(waiting) == bound:
                with pytest.raises(QueueFull):
                    queue.put(new.owner, new)
            else:
                queue.put(new.owner, new)
                waiting.append(new)
        elif action == "get":
            got = queue.get()
            assert (got is None) == (not waiting)
            if got is not None:
                assert got is next(item for item in waiting if item.owner == got.owner)  # the owner's oldest
                waiting = [item for item in waiting if item is not got]
        elif waiting:
            gone = waiting.pop(int(str(value)) % len(waiting))
            assert queue.remove(gone)
            assert not queue.remove(gone)
        assert len(queue) == len(waiting)
    left = [item for _ in waiting if (item := queue.get()) is not None]
    assert len(left) == len(waiting)
    assert all(is_in(item, left) for item in waiting)
    assert queue.get() is None


@settings(deadline=None)
@given(st.lists(st.one_of(PUT, PUT, GET), max_size=80))
def test_each_other_owner_overtakes_at_most_once(actions: list[tuple[str, str]]) -> None:
    queue: FairQueue[str] = FairQueue(1000)
    counts = dict.fromkeys("abcd", 0)
    passed: dict[str, list[str]] = {}  # by who waits: whose turn it was since the wait for a turn began
    turns: dict[str, dict[str, int]] = {}  # since an owner's last turn: turns of those that have waited all the time
    for action, owner in [*actions, *[("get", "")] * len(actions)]:
        if action == "put":
            queue.put(owner, owner)
            counts[owner] += 1
            passed.setdefault(owner, [])
            continue
        if (owner := queue.get() or "") == "":
            assert not any(counts.values())
            continue
        assert all(n >= 1 for n in turns.get(owner, {}).values())  # promise 2
        counts[owner] -= 1
        del passed[owner]
        for others in passed.values():
            others.append(owner)
            assert len(others) == len(set(others))  # promise 1
        for since in turns.values():
            since.update({owner: since[owner] + 1} if owner in since else {})
        turns[owner] = dict.fromkeys(passed, 0)
        if counts[owner]:
            passed[owner] = []


def test_a_long_line_of_one_owner_delays_another_by_one_item() -> None:
    queue: FairQueue[str] = FairQueue(8)
    for item in ("a1", "a2", "a3", "b1", "b2", "c1"):
        queue.put(item[0], item)
    assert [queue.get() for _ in range(6)] == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_leaving_and_rejoining_does_not_jump_the_line() -> None:
    queue: FairQueue[str] = FairQueue(8)
    for item in ("a1", "b1"):
        queue.put(item[0], item)
    queue.remove("a1")
    queue.put("a", "a2")
    assert [queue.get(), queue.get()] == ["b1", "a2"]
