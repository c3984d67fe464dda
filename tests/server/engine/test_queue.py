"""`FairQueue`: no item is lost or served twice, and owners take turns."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.server.engine.queue import FairQueue, QueueFull, owner_to_displace

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


def drain(queue: FairQueue[str]) -> Iterator[str]:
    while (entry := queue.get()) is not None:
        yield entry[1]


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
            if len(waiting) == bound and owner_to_displace([item.owner for item in waiting], new.owner) is None:
                with pytest.raises(QueueFull):
                    queue.put(new.owner, new)
            else:
                is_full = len(waiting) == bound
                displaced = queue.put(new.owner, new)
                assert (displaced is None) == (not is_full)
                waiting = [item for item in waiting if item is not displaced] + [new]
        elif action == "get":
            entry = queue.get()
            assert (entry is None) == (not waiting)
            if entry is not None:
                owner, item = entry
                assert owner == item.owner
                assert item is next(other for other in waiting if other.owner == item.owner)  # the owner's oldest
                waiting = [other for other in waiting if other is not item]
        elif waiting:
            removed = waiting.pop(int(str(value)) % len(waiting))
            assert queue.remove(removed)
            assert not queue.remove(removed)
        assert len(queue) == len(waiting)
    remaining = [entry[1] for _ in waiting if (entry := queue.get()) is not None]
    assert len(remaining) == len(waiting)
    assert all(is_in(item, remaining) for item in waiting)
    assert queue.get() is None


@settings(deadline=None)
@given(st.lists(st.one_of(PUT, PUT, GET), max_size=80))
def test_each_other_owner_overtakes_at_most_once(actions: list[tuple[str, str]]) -> None:
    queue: FairQueue[str] = FairQueue(1000)
    counts = dict.fromkeys("abcd", 0)
    served_meanwhile: dict[str, list[str]] = {}  # by waiting owner: the owners served since its wait began
    turns: dict[str, dict[str, int]] = {}  # by served owner: turns since then of the owners that have been waiting
    for action, owner in [*actions, *[("get", "")] * len(actions)]:
        if action == "put":
            queue.put(owner, owner)
            counts[owner] += 1
            served_meanwhile.setdefault(owner, [])
            continue
        owner, _ = queue.get() or ("", "")
        if not owner:
            assert not any(counts.values())
            continue
        assert all(n >= 1 for n in turns.get(owner, {}).values())  # guarantee 2
        counts[owner] -= 1
        del served_meanwhile[owner]
        for others in served_meanwhile.values():
            others.append(owner)
            assert len(others) == len(set(others))  # guarantee 1
        for since in turns.values():
            since.update({owner: since[owner] + 1} if owner in since else {})
        turns[owner] = dict.fromkeys(served_meanwhile, 0)
        if counts[owner]:
            served_meanwhile[owner] = []


def test_a_long_line_of_one_owner_delays_another_by_one_item() -> None:
    queue: FairQueue[str] = FairQueue(8)
    for item in ("a1", "a2", "a3", "b1", "b2", "c1"):
        queue.put(item[0], item)
    assert list(drain(queue)) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_items_of_excluded_owners_keep_their_turn() -> None:
    queue: FairQueue[str] = FairQueue(8)
    for item in ("a1", "a2", "b1", "c1"):
        queue.put(item[0], item)
    assert queue.get({"a", "b"}) == ("c", "c1") and queue.get({"a"}) == ("b", "b1") and queue.get({"a"}) is None
    assert list(drain(queue)) == ["a1", "a2"]


def test_the_newest_item_of_the_longest_line_makes_room() -> None:
    queue: FairQueue[str] = FairQueue(4)
    for item in ("a1", "a2", "a3", "a4"):
        queue.put("a", item)
    assert [queue.put("b", "b1"), queue.put("b", "b2")] == ["a4", "a3"]
    for owner in "ab":  # two each: fair
        with pytest.raises(QueueFull):
            queue.put(owner, "more")


def test_leaving_and_rejoining_does_not_jump_the_line() -> None:
    queue: FairQueue[str] = FairQueue(8)
    for item in ("a1", "b1"):
        queue.put(item[0], item)
    queue.remove("a1")
    queue.put("a", "a2")
    assert list(drain(queue)) == ["b1", "a2"]
