"""Adds the items of files to a review store, batch by batch, and none twice.

An item that the store has already is passed over, so an import that was interrupted can be repeated. The same content again
in one import is traffic: it raises the item's count.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import sqlalchemy as sa

from lmcraft.annotation.agreement.gold import ExpectedVerdict
from lmcraft.annotation.content import Content, check_content
from lmcraft.annotation.guidelines.guideline import GuidelineVersion
from lmcraft.annotation.records import NewItem
from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import items
from lmcraft.data.documents import ReadStats
from lmcraft.errors import UserError

ITEMS_PER_BATCH = 500


@dataclass
class ImportCounts:
    """What became of the items of files so far."""

    added: int = 0
    repeated: int = 0
    """Those whose content came before in the same import."""
    present: int = 0
    """Those that the store had before."""
    not_gold: int = 0
    """Those that cannot become gold items, since people have judged them already."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.added + self.repeated + self.present + self.not_gold


def import_items(
    store: ReviewStore,
    new: Iterable[NewItem],
    guideline: GuidelineVersion,
    actor: str,
    counts: ImportCounts,
    stats: ReadStats,
) -> Iterator[ImportCounts]:
    """Add items; yields the counts after each batch, which is then in the store for good.

    Args:
        store: to add them to.
        new: the items, all of one guideline.
        guideline: its current version.
        actor: who adds them.
        counts: are counted on.
        stats: counts the items that cannot be added.

    Raises:
        UserError: an item is invalid, and `stats` is to fail then.
        StoreError: the database failed; the batches before are in the store.
    """
    remaining = check_items(new, guideline, stats)
    ours: set[str] = set()
    while checked := list(islice(remaining, ITEMS_PER_BATCH)):
        stored = _read_expected(store, [content.id for _, content in checked])
        chosen: list[NewItem] = []
        gold: list[tuple[str, ExpectedVerdict]] = []
        for item, content in checked:
            is_new = content.id not in stored or content.id in ours
            if is_new or (item.expected is not None and stored[content.id] != item.expected):
                chosen.append(item)
                if item.expected is not None:
                    gold.append((content.id, item.expected))
            else:
                counts.present += 1
        added = store.add(chosen, actor) if chosen else None
        if added is not None:
            ours.update(added.ids)
            counts.added += added.new
            counts.repeated += added.repeated
        missed = _count_missed(store, gold)
        counts.not_gold, counts.repeated = counts.not_gold + missed, counts.repeated - missed
        yield counts


def check_items(new: Iterable[NewItem], guideline: GuidelineVersion, stats: ReadStats) -> Iterator[tuple[NewItem, Content]]:
    """Yield each item that can be added with its content; the others are counted, with file and line.

    Raises:
        UserError: an item is invalid, and `stats` is to fail then.
    """
    for item in new:
        try:
            yield item, check_content(item, guideline)
        except UserError as error:
            origin = item.origin or {}
            stats.malformed(str(origin.get("file", "")), int(origin.get("line", 0)), str(error))


def _read_expected(store: ReviewStore, ids: list[str]) -> dict[str, ExpectedVerdict | None]:
    """The expected verdict of each item that the store has; None: it is no gold item."""
    query = sa.select(items.c.id, items.c.expected_label, items.c.expected_rule).where(items.c.id.in_(ids))
    with store.reading() as (connection, _):
        return {
            row.id: None if row.expected_label is None else ExpectedVerdict(row.expected_label, row.expected_rule or "")
            for row in connection.execute(query)
        }


def _count_missed(store: ReviewStore, gold: list[tuple[str, ExpectedVerdict]]) -> int:
    """How many items are not the gold items that they should be."""
    stored = _read_expected(store, [item for item, _ in gold]) if gold else {}
    return sum(stored[item] is None for item, _ in gold)
