"""A bounded queue that is fair among owners: round robin between owners, first come first served within one."""

from collections import Counter, OrderedDict, deque
from collections.abc import Collection, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class QueueFull(Exception):  # noqa: N818 - asyncio and queue use this name
    """The queue holds its maximum number of items."""


class FairQueue(Generic[T]):
    """A queue of items by owner. It has no lock: callers that share it between threads hold one.

    Two guarantees, while nothing is removed:
    1. Each other owner is served at most once before a waiting owner is: a served owner goes to the back.
    2. Between two items of one owner, every other owner that waited the whole time is served at least once.

    So an owner's next item waits for at most one item of each owner that was waiting when its wait began, no matter how
    many items they have queued.
    """

    def __init__(self, max_items: int) -> None:
        """`max_items` limits the items of all owners together."""
        self.max_items = max_items
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()  # by owner, the next one to be served first; none is empty

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def put(self, owner: str, item: T) -> T | None:
        """Queue an item behind the owner's other items.

        Returns:
            The newest item of the owner with the most, if the queue was full and that item had to leave it.

        Raises:
            QueueFull: `max_items` items are already queued, and no other owner has two items more.
        """
        displaced = None
        if len(self) >= self.max_items:
            other = owner_to_displace((name for name, line in self._lines.items() for _ in line), owner)
            if other is None:
                raise QueueFull(f"{self.max_items} items are already queued")
            displaced = self._lines[other].pop()
        self._lines.setdefault(owner, deque()).append(item)
        return displaced

    def get(self, excluded: Collection[str] = ()) -> tuple[str, T] | None:
        """Take the next item out of the queue, with its owner; None if all items are of excluded owners."""
        owner = next((name for name in self._lines if name not in excluded), None)
        if owner is None:
            return None
        line = self._lines.pop(owner)
        item = line.popleft()
        if line:
            self._lines[owner] = line
        return owner, item

    def remove(self, item: T) -> bool:
        """Remove this object, compared by identity, from the queue; returns whether it was queued."""
        for owner, line in self._lines.items():
            for n, queued in enumerate(line):
                if queued is item:
                    del line[n]
                    if not line:
                        del self._lines[owner]
                    return True
        return False


def owner_to_displace(owners: Iterable[str], owner: str) -> str | None:
    """Who makes room in a full queue for a new item of `owner`: the one with the most items, if it has two more.

    Args:
        owners: of each queued item.
        owner: of the new one.
    """
    counts = Counter(owners)
    other = max(counts, key=lambda name: counts[name], default=owner)
    return other if counts[other] >= counts[owner] + 2 else None
