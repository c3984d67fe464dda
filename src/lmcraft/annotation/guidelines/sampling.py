"""Draws the random sample that a guideline's plan asks for, and checks that the pool is as large as the plan wants.

Each group of the pool has a share of the sample in proportion to its size (proportional allocation, largest remainders;
Cochran, Sampling Techniques, 1977, section 5.5), so the share of the sample estimates that of the pool. Within a group each
text has the same chance: those with the least hashes of seed and content are drawn, whatever the order of the files. So the
same pool and seed give the same sample, and a text that occurs several times can be drawn once.
"""

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from lmcraft.annotation.guidelines.guideline import Guideline, Stratum
from lmcraft.annotation.records import NewItem
from lmcraft.errors import UserError

MAX_GROUPS = 10_000  # of a pool: more are no groups
MAX_GROUPS_NAMED = 5  # in an error


@dataclass(frozen=True)
class Draw:
    """A sample."""

    items: tuple[NewItem, ...]
    """In random order; the origin of each has the `sample` and the `group`."""
    pool: Mapping[str, int]
    """The number of items of the pool in each group; one group "" if the pool is not divided."""


def find_stratum(guideline: Guideline, name: str) -> Stratum:
    """The stratum of a guideline's plan.

    Raises:
        UserError: there is none of that name.
    """
    strata = {stratum.name: stratum for stratum in guideline.sampling}
    if not strata:
        raise UserError(f"guideline '{guideline.name}' has no sampling plan: add [[sampling]] to its settings")
    if name not in strata:
        raise UserError(f"guideline '{guideline.name}' has no sampling '{name[:64]}': use one of {', '.join(strata)}")
    return strata[name]


def draw_sample(pool: Iterable[NewItem], guideline: Guideline, stratum: Stratum, seed: int) -> Draw:
    """Draw a sample.

    Args:
        pool: all items; the origin of each has its `group`, if the stratum divides the pool. Read once; at most
            `stratum.size` items of each group are kept in memory.
        guideline: of the plan.
        stratum: what to draw.
        seed: of the random numbers.

    Raises:
        UserError: the pool is too small, or a group of it is.
    """
    counts: dict[str, int] = {}
    kept: dict[str, _Least] = {}
    owners: dict[int, str] = {}
    for item in pool:
        group = str((item.origin or {}).get("group", "")) if stratum.by else ""
        counts[group] = counts.get(group, 0) + 1
        if len(counts) > MAX_GROUPS:
            raise UserError(f"the pool has more than {MAX_GROUPS:,} groups in '{stratum.by}': use a field with fewer values")
        kept.setdefault(group, _Least(stratum.size, owners, group)).put(_rank(item, seed), item)
    check_pool(counts, guideline, stratum)
    distinct = {group: min(counts[group], len(least)) for group, least in kept.items()}
    drawn: list[tuple[int, NewItem]] = []
    for group, number in _allocate(counts, distinct, stratum).items():
        drawn += kept[group].least(number)
    drawn.sort(key=lambda pair: pair[0])
    items = (replace(item, origin={**(item.origin or {}), "sample": stratum.name}) for _, item in drawn)
    return Draw(tuple(items), dict(sorted(counts.items())))


def check_pool(counts: Mapping[str, int], guideline: Guideline, stratum: Stratum) -> None:
    """Check the numbers of items in the groups of a pool.

    Raises:
        UserError: there are fewer than the plan asks for.
    """
    total, needed = sum(counts.values()), max(stratum.min_pool, stratum.size)
    if total < needed:
        raise UserError(
            f"the pool has {total:,} items, but sampling '{stratum.name}' needs {needed:,}: add items, or change "
            f"{'min_pool' if stratum.min_pool > stratum.size else 'size'} in the guideline"
        )
    small = [(group, counts.get(group, 0), least) for group, least in _wanted_groups(counts, guideline, stratum)]
    small = [(group, number, least) for group, number, least in small if number < least]
    if small:
        named = ", ".join(
            f"{group or 'none'} ({number:,} of {least:,})" for group, number, least in small[:MAX_GROUPS_NAMED]
        )
        others = f" and {len(small) - MAX_GROUPS_NAMED:,} more" if len(small) > MAX_GROUPS_NAMED else ""
        raise UserError(
            f"the pool has too few items with this {stratum.by}: {named}{others}; add items, or change min_per_group in the "
            "guideline"
        )


def _wanted_groups(counts: Mapping[str, int], guideline: Guideline, stratum: Stratum) -> Iterator[tuple[str, int]]:
    """Each group that the plan has a least number for. Patterns stand for groups of the pool, and for rules."""
    rules = [rule.id for rule in guideline.rules]
    for pattern, least in stratum.min_per_group.items():
        names = [*counts, *rules] if pattern != "*" else [*counts]
        prefix = pattern.removesuffix("*")
        matching = [name for name in dict.fromkeys(names) if name.startswith(prefix)] if prefix != pattern else [pattern]
        for name in matching:
            yield name, least


def _allocate(counts: Mapping[str, int], distinct: Mapping[str, int], stratum: Stratum) -> dict[str, int]:
    """How many items to draw from each group; a group with fewer texts gives what it has, and the others more.

    Raises:
        UserError: the pool has too few different texts.
    """
    if sum(distinct.values()) < stratum.size:
        raise UserError(
            f"the pool has {sum(distinct.values()):,} different texts, but sampling '{stratum.name}' needs "
            f"{stratum.size:,}: add items, or change size in the guideline"
        )
    allocated: dict[str, int] = {}
    open_groups, left = sorted(counts), stratum.size
    while open_groups:
        total = sum(counts[group] for group in open_groups)
        shares = {group: divmod(left * counts[group], total) for group in open_groups}
        full = [group for group in open_groups if shares[group][0] >= distinct[group]]
        if not full:
            rest = left - sum(whole for whole, _ in shares.values())
            ranked = sorted(open_groups, key=lambda group: (-shares[group][1], group))
            extra = [group for group in ranked if shares[group][0] < distinct[group]][:rest]
            return allocated | {group: shares[group][0] + (group in extra) for group in open_groups}
        allocated |= {group: distinct[group] for group in full}
        left -= sum(distinct[group] for group in full)
        open_groups = [group for group in open_groups if group not in full]
    return allocated


class _Least:
    """The items of least rank in a group; a text that several groups have belongs to the first that keeps it.

    Args:
        limit: how many to keep.
        owners: the group of each item that is kept, by rank; of all groups.
        group: this one.
    """

    def __init__(self, limit: int, owners: dict[int, str], group: str) -> None:
        self._limit, self._owners, self._group = limit, owners, group
        self._heap: list[int] = []  # minus the ranks
        self._items: dict[int, NewItem] = {}  # by rank

    def __len__(self) -> int:
        return len(self._items)

    def put(self, rank: int, item: NewItem) -> None:
        if rank in self._owners or (len(self._items) >= self._limit and rank >= -self._heap[0]):
            return
        self._items[rank], self._owners[rank] = item, self._group
        heapq.heappush(self._heap, -rank)
        if len(self._items) > self._limit:
            evicted = -heapq.heappop(self._heap)
            del self._items[evicted], self._owners[evicted]

    def least(self, number: int) -> list[tuple[int, NewItem]]:
        return [(rank, self._items[rank]) for rank in sorted(self._items)[:number]]


def _rank(item: NewItem, seed: int) -> int:
    """A random number that depends on seed and content only."""
    content = [seed, item.subject, list(map(dict, item.messages)), list(item.answers)]
    return int.from_bytes(sha256(json.dumps(content, sort_keys=True).encode()).digest())
