"""A queue, bounded over all owners and fair among them: round robin between owners, within one first come first served."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class QueueFull(Exception):  # noqa: N818 - as asyncio and queue name theirs
    """As many items wait as may."""


class FairQueue(Generic[T]):
    """Items that wait for their turn. A data structure only: whoever shares it between threads holds a lock.

    Two promises, while nothing is removed:
    1. Whoever waits is passed by each other owner at most once: an owner whose turn it was goes behind all who wait.
    2. Between two turns of one owner, every other owner that waited all that time has had one.

    So the next item of an owner comes after at most as many others as there were other owners when its wait began, however
    many items those have.
    """

    def __init__(self, bound: int) -> None:
        """`bound` is the most items that may wait, of all owners together."""
        self.bound = bound
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()  # by owner, whose turn is next first; none is empty

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def put(self, owner: str, item: T) -> None:
        """Let an item wait, behind the owner's other items.

        Raises:
            QueueFull: `bound` items wait already.
        """
        if len(self) >= self.bound:
            raise QueueFull(f"{self.bound} items wait already")
        self._lines.setdefault(owner, deque()).append(item)

    def get(self) -> T | None:
        """The item whose turn it is, which waits no more; None if none waits."""
        if not self._lines:
            return None
        owner, line = self._lines.popitem(last=False)
        item = line.popleft()
        if line:
            self._lines[owner] = line
        return item

    def remove(self, item: T) -> bool:
        """Take this very object (`is`) out of its line; whether it was waiting."""
        for owner, line in self._lines.items():
            for place, waiting in enumerate(line):
                if waiting is item:
                    del line[place]
                    if not line:
                        del self._lines[owner]
                    return True
        return False
