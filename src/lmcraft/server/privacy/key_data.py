"""Everything that a server has stored for one API key: counted, exported, erased.

It works on the databases and files themselves, so a server may run or not.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from lmcraft.annotation.queue.erasure import erase_items_of
from lmcraft.annotation.queue.senders import count_reports, count_unattributed, hash_name, items_of
from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import contents, items, reports, verdicts
from lmcraft.json_lines import format_json_line, parse_json
from lmcraft.server.conversations.deletion import count_of_owner, delete_of_owner, owners_in
from lmcraft.server.conversations.export_file import export_chunks
from lmcraft.server.conversations.response_store import ResponseStore
from lmcraft.server.privacy.prompt_files import read_entries, remove_entries
from lmcraft.server.privacy.stores import LOGGED_PROMPTS, REPORTS, REVIEW_ITEMS, Stores, add_up

ACTOR = "erasure"
"""Who erases items, in the audit log."""
OPEN_SERVER_NAME = "owner"
"""Who judges on a server without keys."""
VERDICTS = "verdicts"
CONVERSATIONS_FILE, MANIFEST_FILE = "conversations.json", "manifest.json"
FORMAT, VERSION = "lmcraft-key-data", 1
Json = dict[str, Any]


def count_data(stores: Stores, key: str) -> Counter[str]:
    """How much is stored for a key, by what it is."""
    counts: Counter[str] = Counter()
    if stores.database is not None:
        counts.update(count_of_owner(stores.database, key))
    counts.update(_count_reports(stores, key))
    for name, rows in _rows(stores, key):
        if name != "responses":
            counts[name] += sum(1 for _ in rows)
    return counts


def keys_with_data(stores: Stores) -> set[str]:
    """The names of the keys that have stored conversations or responses, or whose requests are logged.

    Reviews have no names, only hashes.
    """
    names = set() if stores.database is None else owners_in(stores.database)
    if stores.prompt_log is not None:
        names |= {str(entry.get("key", "")) for entry in read_entries(stores.prompt_log)}
    return names


def export_data(stores: Stores, key: str, folder: Path) -> Counter[str]:
    """Write everything that is stored for a key into a folder; returns how much it is.

    Args:
        stores: of the server.
        key: the name of the key; empty: of a server without keys.
        folder: exists, and is empty. It gets `conversations.json`, which /api/import accepts, a file of JSON lines for each
            other kind of data, and `manifest.json`.
    """
    counts: Counter[str] = Counter()
    if stores.database is not None:
        counts.update(count_of_owner(stores.database, key))
    if stores.conversations is not None:
        with (folder / CONVERSATIONS_FILE).open("w", encoding="utf-8") as file:
            file.writelines(export_chunks(stores.conversations, key))
    counts.update(_count_reports(stores, key))
    for name, rows in _rows(stores, key):
        with (folder / f"{name.replace(' ', '_')}.jsonl").open("w", encoding="utf-8") as file:
            counts[name] = 0
            for row in rows:
                file.write(format_json_line(row))
                counts[name] += 1
    manifest = {"format": FORMAT, "version": VERSION, "key": key, "time": datetime.now(UTC).isoformat(), "counts": counts}
    (folder / MANIFEST_FILE).write_text(format_json_line(manifest), encoding="utf-8")
    return counts


def export_json(stores: Stores, key: str) -> Iterator[str]:
    """The same as one JSON text, in chunks, with a field for each file."""
    yield format_json_line({"format": FORMAT, "version": VERSION, "key": key}).rstrip("}\n")
    if stores.conversations is not None:
        yield ',\n"conversations": '
        yield from export_chunks(stores.conversations, key)
    for name, rows in _rows(stores, key):
        yield f',\n"{name.replace(" ", "_")}": ['
        yield from ((",\n" if n else "\n") + format_json_line(row).rstrip("\n") for n, row in enumerate(rows))
        yield "]"
    yield "}\n"


def erase_data(stores: Stores, key: str) -> Counter[str]:
    """Erase everything that a key has sent; returns how much it was, by what it is. `retention.purge_all` removes the bytes.

    Verdicts that the key has given as a reviewer stay: they are evidence about other people's texts.

    Raises:
        OSError, RunError, UserError: a store failed; the others are erased all the same, and calling again goes on.
    """

    def erase_conversations() -> Counter[str]:
        if stores.database is None:
            return Counter()
        return Counter(delete_of_owner(stores.database, key))

    def erase_review_items() -> Counter[str]:
        if stores.reviews is None:
            return Counter()
        counts = _count_reports(stores, key)
        counts[REVIEW_ITEMS] = erase_items_of(stores.reviews, key, ACTOR)
        return counts

    def erase_prompts() -> Counter[str]:
        if stores.prompt_log is None:
            return Counter()
        return Counter({LOGGED_PROMPTS: remove_entries(stores.prompt_log, lambda entry: entry.get("key") == key)})

    return add_up(erase_conversations, erase_review_items, erase_prompts)


def count_remaining(stores: Stores, key: str) -> tuple[int, int]:
    """What an erasure leaves: the verdicts that the key has given, and the items of which nobody knows whose they are."""
    if stores.reviews is None:
        return 0, 0
    with stores.reviews.reading() as (connection, _):
        return sum(1 for _ in _verdicts(connection, key)), count_unattributed(connection)


def _count_reports(stores: Stores, key: str) -> Counter[str]:
    """How many reports a key has made, also of texts that others have sent; they are exported with their items."""
    if stores.reviews is None:
        return Counter()
    with stores.reviews.reading() as (connection, _):
        return Counter({REPORTS: count_reports(connection, key)})


def _rows(stores: Stores, key: str) -> Iterator[tuple[str, Iterable[Json]]]:
    """What is stored besides conversations, by its name."""
    if stores.database is not None:
        stored = ResponseStore(stores.database).export(key)
        yield "responses", ({"input": one.input, "response": one.response} for one in stored)
    if stores.reviews is not None:
        yield REVIEW_ITEMS, _review_items(stores.reviews, key)
        with stores.reviews.reading() as (connection, _):
            yield VERDICTS, list(_verdicts(connection, key))
    if stores.prompt_log is not None:
        yield LOGGED_PROMPTS, (dict(entry) for entry in read_entries(stores.prompt_log) if entry.get("key") == key)


def _review_items(reviews: ReviewStore, key: str) -> Iterator[Json]:
    """The items that a key has sent or reported and that still have their texts, with its own reports, oldest first."""
    with reviews.reading() as (connection, _):
        ids, reporter = items_of(connection, key), hash_name(connection, key)
    c, r = items.c, reports.c
    kept = (c.id, c.source, c.subject, c.state, c.label, c.created, contents.c.content, contents.c.decision)
    for item in ids:
        with reviews.reading() as (connection, _):
            query = sa.select(*kept).join(contents, contents.c.item == c.id).where(c.id == item, c.state != "erased")
            own = sa.select(r.reason, r.comment, r.created).where(r.item == item, r.reporter == reporter)
            row = connection.execute(query).mappings().first()
            report = connection.execute(own).mappings().first()
        if row is not None:
            texts = {name: parse_json(row[name].encode()) for name in ("content", "decision")}
            yield {**row, **texts, "report": None if report is None else dict(report)}


def _verdicts(connection: sa.Connection, key: str) -> Iterator[Json]:
    v = verdicts.c
    columns = (v.id, v.item, v.kind, v.guideline, v.label, v.rule, v.comment, v.correction, v.created)
    query = sa.select(*columns).where(v.reviewer == (key or OPEN_SERVER_NAME)).order_by(v.position)
    yield from (dict(row) for row in connection.execute(query).mappings())
