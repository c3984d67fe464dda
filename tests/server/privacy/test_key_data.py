"""One key's data: nothing of it stays in any file after the erasure, and the export has all of it."""

import json
import stat
import threading
from pathlib import Path

import pytest

from lmcraft.annotation.audit_log.verification import verify
from lmcraft.annotation.queue.reports import report_item
from lmcraft.annotation.records import NewItem
from lmcraft.server.conversations.store import Store
from lmcraft.server.privacy.key_data import count_data, erase_data, export_data, export_json, keys_with_data
from lmcraft.server.privacy.retention import purge_all
from lmcraft.server.privacy.stores import Stores
from tests.annotation.samples import judge_next
from tests.server.privacy.conftest import MARKER, OTHER, Place, close, fill

COUNTS = {
    "conversations": 3, "messages": 9, "preferences": 3, "responses": 3, "reports": 0, "review items": 3,
    "logged prompts": 1,
}  # fmt: skip


def test_no_byte_of_a_key_is_left_in_any_file_while_a_server_uses_the_stores(place: Place, stores: Stores) -> None:
    fill(stores, "ada", MARKER)
    fill(stores, "ben", OTHER)
    assert stores.reviews is not None
    judge_next(stores.reviews, "cy", "harmful", comment=MARKER, correction=f"better {MARKER}")
    for key, comment in (("ada", MARKER), ("ben", OTHER)):
        report_item(stores.reviews, NewItem(guideline="harm", answers=["shared"], source="report"), key, "harm", comment)
    assert place.files_with(MARKER)
    command = place.open()  # another process has them open, too
    assert dict(count_data(stores, "ada")) == COUNTS | {"reports": 1, "review items": 4, "verdicts": 0}
    assert dict(erase_data(command, "ada")) == COUNTS | {"reports": 1}
    purge_all(command)
    close(command)
    assert place.files_with(MARKER) == []
    assert not count_data(stores, "ada").total()
    assert dict(count_data(stores, "ben")) == COUNTS | {"reports": 1, "review items": 4, "verdicts": 0}
    assert "shared" not in "".join(export_json(stores, "ada"))
    assert verify(stores.reviews.engine).problems == ()
    assert keys_with_data(stores) == {"ben"}
    assert erase_data(stores, "ada").total() == 0


def test_the_export_has_everything_and_can_be_imported(sqlite_stores: Stores, tmp_path: Path) -> None:
    fill(sqlite_stores, "ada", MARKER)
    fill(sqlite_stores, "ben", OTHER)
    assert sqlite_stores.reviews is not None and sqlite_stores.conversations is not None
    judge_next(sqlite_stores.reviews, "ada", "harmful", comment="because")
    folder = tmp_path / "export"
    folder.mkdir()
    assert dict(export_data(sqlite_stores, "ada", folder)) == COUNTS | {"verdicts": 1}
    written = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}
    assert set(written) == {
        "conversations.json", "responses.jsonl", "review_items.jsonl", "verdicts.jsonl", "logged_prompts.jsonl",
        "manifest.json",
    }  # fmt: skip
    assert not any(OTHER in text for text in written.values())
    assert all(MARKER in text for name, text in written.items() if name not in ("manifest.json", "verdicts.jsonl"))
    conversations = json.loads(written["conversations.json"])
    assert sqlite_stores.conversations.load("cy", conversations["conversations"], conversations["preferences"]) == 3
    whole = json.loads("".join(export_json(sqlite_stores, "ada")))
    assert [len(whole[name]) for name in ("responses", "review_items", "verdicts", "logged_prompts")] == [3, 3, 1, 1]
    assert len(whole["conversations"]["conversations"]) == 3


@pytest.mark.parametrize("key", ["", "a/b", "阿达", "%", "' OR 1=1 --", "x" * 64])
def test_the_name_of_a_key_is_taken_as_it_is(sqlite_stores: Stores, key: str) -> None:
    fill(sqlite_stores, key, MARKER, count=1)
    fill(sqlite_stores, "ben", OTHER, count=1)
    assert erase_data(sqlite_stores, key).total() == count_data(sqlite_stores, "ben").total() == 8


def test_an_erasure_while_others_write(tmp_path: Path) -> None:
    place = Place("", tmp_path, tmp_path)
    stores = place.open()
    fill(stores, "ada", MARKER, count=1)
    assert stores.conversations is not None
    is_over, created = threading.Event(), []

    def write(store: Store) -> None:
        while not is_over.is_set():
            created.append(store.create("ben", title=OTHER)["id"])

    thread = threading.Thread(target=write, args=(stores.conversations,))
    thread.start()
    try:
        for _ in range(3):
            command = place.open()
            erase_data(command, "ada")
            purge_all(command)
            close(command)
    finally:
        is_over.set()
        thread.join()
    assert count_data(stores, "ben")["conversations"] == len(created) > 0
    purge_all(stores)
    assert place.files_with(MARKER) == []
    close(stores)


def test_without_a_store_there_is_nothing() -> None:
    assert not count_data(Stores(), "ada")
    assert not erase_data(Stores(), "ada")
    assert json.loads("".join(export_json(Stores(), "ada"))) == {"format": "lmcraft-key-data", "version": 1, "key": "ada"}


def test_only_its_owner_can_read_the_log_of_prompts(sqlite_stores: Stores) -> None:
    fill(sqlite_stores, "ada", MARKER, count=1)
    assert sqlite_stores.prompt_log is not None
    erase_data(sqlite_stores, "ben")
    assert stat.S_IMODE(sqlite_stores.prompt_log.stat().st_mode) == 0o600
