"""The review store: what people judge, who holds which item, and every verdict, in SQLite or PostgreSQL.

Every call is one transaction, so a kill at any moment leaves the store as it was before the call or after it, and any thread
may call. Transactions that write exclude each other: SQLite has one writer, and PostgreSQL gets a lock for the store. So no
item can have two holders, and the audit log has one order.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any

import sqlalchemy as sa

from lmcraft.annotation.audit_log.log import append_many
from lmcraft.annotation.guidelines.guideline import Guideline, GuidelineVersion
from lmcraft.annotation.queue import queries
from lmcraft.annotation.queue.adding import add_items
from lmcraft.annotation.queue.leases import Rules, claim_item, release_lease, renew_lease
from lmcraft.annotation.queue.settings import Setting, check_setting, read_setting, read_settings, write_setting
from lmcraft.annotation.queue.states import FREE, audited_columns, change_item, read_item, record_change
from lmcraft.annotation.queue.verdicts import judge_item, skip_item, verdict_columns
from lmcraft.annotation.queue.versions import GuidelineVersions, add_version
from lmcraft.annotation.records import (
    ROLES,
    TASKS,
    Added,
    Claim,
    ItemState,
    ItemSummary,
    Json,
    NewItem,
    NewVerdict,
    NotFoundError,
    Role,
    SettledItem,
    StoreError,
    Task,
    Vote,
    WrongStateError,
)
from lmcraft.annotation.tables import SCHEMA, items, marker
from lmcraft.database import check_text, close_database, display_name, error_text, open_database, read_clock
from lmcraft.errors import UserError

WRITE_LOCK = 0x6C6D726576696577  # of PostgreSQL, while a transaction writes
MAX_NAME_CHARS = 200  # of a person
ITEMS_PER_READ = 500


class ReviewStore:
    """A database of items to judge; open one with `ReviewStore.open`."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine, self.name = engine, display_name(engine.url)
        self._writer = engine.execution_options(immediate=True)
        # Threads wait here: SQLite lets a writer who waits sleep up to 100 ms, while others overtake it.
        self._turn: AbstractContextManager[Any] = Lock() if engine.dialect.name == "sqlite" else nullcontext()
        with self.reading() as (connection, _):
            self._salt: str = connection.execute(sa.select(marker.c.id)).scalar_one()

    @classmethod
    def open(cls, location: str | Path, *, create: bool = True) -> "ReviewStore":
        """Open a store in a file (SQLite), or at a URL such as postgresql://USER@HOST/NAME.

        Args:
            location: the file or URL.
            create: create the file if it does not exist, and bring the tables of an older version up to date.

        Raises:
            UserError: it is damaged, is not a review store, was made by a newer lmcraft, or cannot be reached.
        """
        return cls(open_database(str(location), SCHEMA, create=create, upgrade=create))

    def close(self) -> None:
        """Close all connections."""
        close_database(self.engine)

    @contextmanager
    def reading(self) -> Iterator[tuple[sa.Connection, float]]:
        """A transaction that reads, and its time in seconds since 1970.

        Raises:
            StoreError: the database failed.
        """
        with _explained(), self.engine.begin() as connection:
            yield connection, read_clock(connection)

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[tuple[sa.Connection, float]]:
        """A transaction that excludes all others that write, and its time in seconds since 1970.

        Args:
            durable: wait for the disk in SQLite, too; a loss of power may undo a transaction that does not.

        Raises:
            StoreError: the database failed; nothing was saved.
        """
        writer = self._writer.execution_options(durable=durable)
        with self._turn, _explained(), writer.begin() as connection:
            yield connection, read_clock(connection, lock=WRITE_LOCK)

    # Items

    def add(self, new: Sequence[NewItem], actor: str) -> Added:
        """Add items, all or none. Content that the guideline's items have already raises their traffic.

        Raises:
            UserError: an item is invalid.
            NotFoundError: there is no such guideline.
        """
        with self.writing() as (connection, now):
            current = GuidelineVersions(connection).current([item.guideline for item in new])
            return add_items(connection, new, _person("actor", actor), current, now)

    def find(
        self,
        *,
        state: str = "",
        guideline: str = "",
        source: str = "",
        search: str = "",
        limit: int = 50,
        after: str = "",
    ) -> tuple[list[ItemSummary], str]:
        """A page of the items, those of highest priority first.

        Args:
            state: only of this state, or `claimed`: those that somebody holds.
            guideline: only of this one.
            source: only from here.
            search: only those whose texts contain it, in any case, or whose id it is.
            limit: most items, up to 1,000.
            after: the second result of the page before.

        Returns:
            The items, and where the next page begins; empty: this is the last one.

        Raises:
            UserError: a value is invalid.
        """
        with self.reading() as (connection, now):
            return queries.find_items(
                connection, state=state, guideline=guideline, source=source, search=search, limit=limit, after=after, now=now
            )

    def get(self, item: str) -> Json:
        """Everything about an item: its summary, `content`, `decision`, `verdicts`, `history`, `claim`.

        The votes of an open calibration round are left out.

        Raises:
            NotFoundError: there is none.
        """
        with self.reading() as (connection, now):
            name = read_item(connection, item)["guideline"]
            return queries.read_full_item(connection, item, GuidelineVersions(connection)[name][-1], now)

    def counts(self, guideline: str = "") -> dict[str, int]:
        """The number of items by state, of `gold` items (in no other number), of those `claimed` now, and in `total`."""
        with self.reading() as (connection, now):
            return queries.count_items(connection, guideline, now)

    def votes(self, guideline: str) -> list[Vote]:
        """Every verdict of reviewers under a guideline, oldest first, also of gold items and of rounds that are revealed."""
        with self.reading() as (connection, _):
            return queries.read_votes(connection, guideline)

    def settled(self, guideline: str = "") -> Iterator[SettledItem]:
        """Each item with a final verdict, exported ones included and gold items left out, in the order of adding."""
        after: int | None = 0
        while after is not None:
            with self.reading() as (connection, _):
                versions = GuidelineVersions(connection)
                batch, after = queries.settled_items(connection, guideline, after, ITEMS_PER_READ, versions)
            yield from batch

    def mark_exported(self, ids: Sequence[str], actor: str, manifest_hash: str) -> None:
        """Record that settled items were exported.

        Args:
            ids: of the items.
            actor: who exported them.
            manifest_hash: of the export's manifest, in hexadecimal.

        Raises:
            NotFoundError: there is no such item.
            WrongStateError: an item has no final verdict.
        """
        actor = _person("actor", actor)
        with self.writing() as (connection, now):
            entries = []
            for item in dict.fromkeys(ids):
                row = read_item(connection, item)
                if row["state"] == "erased":  # in the meantime
                    continue
                if row["label"] is None or row["expected_label"] is not None:
                    raise WrongStateError(item, row["state"], "export only items with a final verdict")
                changed = change_item(connection, row, state="exported")
                entries.append(("exported", actor, item, {"items": audited_columns(changed), "manifest": manifest_hash}))
            append_many(connection, entries, now)

    # People

    def claim(self, reviewer: str, *, guideline: str = "", task: Task = "review", role: Role = "reviewer") -> Claim:
        """Hold the next item. Who holds one already gets it again, with its lease renewed.

        Args:
            reviewer: who claims.
            guideline: only of this one.
            task: to review, or to adjudicate, for which `role` must be another than reviewer.
            role: of the person.

        Raises:
            NotFoundError: there is no such guideline.
            UserError: the role does not allow the task.
        """
        reviewer = _person("reviewer", reviewer)
        if task not in TASKS or role not in ROLES or (task == "adjudicate" and role == "reviewer"):
            raise UserError(f"task='{task}' is not for role '{role}'; ask the owner for another role", code="forbidden_task")
        with self.writing(durable=False) as (connection, now):
            current = GuidelineVersions(connection).current([guideline] if guideline else None)
            return claim_item(connection, reviewer, task, current, self._rules(connection), now)

    def renew(self, token: str, reviewer: str) -> float:
        """Move the end of a claim; returns it, in seconds since 1970.

        Raises:
            LeaseLostError: the person does not hold the item any more.
        """
        with self.writing(durable=False) as (connection, now):
            expires = now + float(read_settings(connection)["lease_seconds"])
            renew_lease(connection, token, _person("reviewer", reviewer), expires)
            return expires

    def release(self, token: str, reviewer: str) -> None:
        """Give an item back; nothing happens if the person does not hold it any more."""
        with self.writing(durable=False) as (connection, _):
            release_lease(connection, token, _person("reviewer", reviewer))

    def judge(self, item: str, token: str, reviewer: str, verdict: NewVerdict) -> ItemState:
        """Record a verdict on an item that the reviewer holds. The same verdict again gets the same answer.

        Raises:
            NotFoundError: there is no such item.
            LeaseLostError: the reviewer does not hold it.
            ConflictError: the verdict's id belongs to another one.
            UserError: the guideline has no such label or rule, or a text is too long.
        """
        return self._judge(item, token, reviewer, "review", verdict)

    def adjudicate(self, item: str, token: str, adjudicator: str, verdict: NewVerdict) -> ItemState:
        """Decide about an item that was claimed to adjudicate; otherwise like `judge`."""
        return self._judge(item, token, adjudicator, "adjudicate", verdict)

    def skip(self, item: str, token: str, reviewer: str, reason: str = "", *, task: Task = "review") -> ItemState:
        """Leave an item to others; it does not come back to this person. Two skips by reviewers remove it from the queue.

        Raises:
            NotFoundError: there is no such item.
            LeaseLostError: the person does not hold it.
        """
        with self.writing() as (connection, now):
            return skip_item(connection, item, token, _person("reviewer", reviewer), task, "skip", reason, now)

    def escalate(self, item: str, token: str, reviewer: str, comment: str = "") -> ItemState:
        """Hand an item to the adjudicators.

        Raises:
            NotFoundError: there is no such item.
            LeaseLostError: the person does not hold it.
            WrongStateError: the item is part of an open calibration round.
        """
        with self.writing() as (connection, now):
            return skip_item(connection, item, token, _person("reviewer", reviewer), "review", "escalate", comment, now)

    def release_item(self, item: str) -> None:
        """End somebody else's claim.

        Raises:
            NotFoundError: there is no such item.
        """
        with self.writing(durable=False) as (connection, _):
            position = read_item(connection, item)["position"]
            connection.execute(items.update().where(items.c.position == position).values(FREE))

    def requeue(self, item: str, actor: str, comment: str = "") -> ItemState:
        """Put a skipped item back into the queue, for those who have not seen it.

        Raises:
            NotFoundError: there is no such item.
            WrongStateError: it was not skipped.
        """
        comment = check_text("comment", comment, 10_000)
        with self.writing() as (connection, now):
            row = read_item(connection, item)
            if row["state"] != "skipped":
                raise WrongStateError(item, row["state"], "only skipped items can be put back")
            state = "reviewed" if row["num_verdicts"] else "pending"
            row = change_item(connection, row, **FREE, state=state, num_skips=0)
            record_change(connection, "requeued", _person("actor", actor), row, now, comment=comment)
            return ItemState(item, state, row["num_verdicts"])

    # Guidelines and settings

    def add_guideline(self, guideline: Guideline, actor: str) -> tuple[GuidelineVersion, list[str]]:
        """Add a version of a guideline; one that equals the current version changes nothing.

        Returns:
            The version, and the ids of the rules of the version before it that were changed or removed.

        Raises:
            UserError: the store has a guideline of this name and of another kind.
        """
        with self.writing() as (connection, now):
            return add_version(connection, guideline, _person("actor", actor), now)

    def guideline(self, name: str, version: int | None = None) -> GuidelineVersion:
        """A version of a guideline, by default the newest.

        Raises:
            NotFoundError: there is none.
        """
        versions = self.guideline_versions(name)
        if version is None:
            return versions[-1]
        match = next((candidate for candidate in versions if candidate.version == version), None)
        if match is None:
            raise NotFoundError("version of this guideline", str(version))
        return match

    def guideline_versions(self, name: str) -> Sequence[GuidelineVersion]:
        """All versions of a guideline, oldest first.

        Raises:
            NotFoundError: there is no such guideline.
        """
        with self.reading() as (connection, _):
            return GuidelineVersions(connection)[name]

    def guidelines(self) -> list[GuidelineVersion]:
        """The newest version of each guideline, by name."""
        with self.reading() as (connection, _):
            return list(GuidelineVersions(connection).current().values())

    def setting(self, name: str) -> Setting:
        """The value of `exposure_cap`, `gold_share` or `lease_seconds`.

        Raises:
            UserError: there is no such setting.
        """
        with self.reading() as (connection, _):
            return read_setting(connection, name)

    def set_setting(self, name: str, value: Setting, actor: str) -> None:
        """Change a setting.

        Raises:
            UserError: there is no such setting, or the value is out of range.
        """
        check_setting(name, value)
        with self.writing() as (connection, now):
            write_setting(connection, name, value, _person("actor", actor), now)

    def _judge(self, item: str, token: str, person: str, task: Task, verdict: NewVerdict) -> ItemState:
        person, columns = _person("reviewer", person), verdict_columns(verdict)
        with self.writing() as (connection, now):
            return judge_item(connection, item, token, person, task, columns, GuidelineVersions(connection), now)

    def _rules(self, connection: sa.Connection) -> Rules:
        values = read_settings(connection)
        return Rules(float(values["lease_seconds"]), int(values["exposure_cap"]), float(values["gold_share"]), self._salt)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
        raise StoreError(f"the review store failed ({error_text(error)}); this change was not saved, try again") from error


def _person(name: str, value: str) -> str:
    """The name of a person, checked."""
    if not value:
        raise UserError(f"{name} is empty; give a name")
    return check_text(name, value, MAX_NAME_CHARS)
