"""`lmcraft keys export` and `lmcraft keys erase`."""

import json
import stat
from pathlib import Path

import pytest

from lmcraft import erase_key_data, export_key_data
from lmcraft.annotation.records import NewItem
from lmcraft.annotation.store import ReviewStore
from lmcraft.cli import main
from lmcraft.errors import UserError
from lmcraft.server.conversations.store import Store
from lmcraft.server.privacy import retention
from lmcraft.server.privacy.key_data import erase_data
from tests.annotation.samples import add_texts, judge_next
from tests.server.privacy.conftest import MARKER, OTHER, Place, close, fill


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the stores of a server, in which two keys have data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    stores = Place("", tmp_path, tmp_path).open()
    fill(stores, "ada", MARKER, count=1)
    fill(stores, "ben", OTHER, count=1)
    close(stores)
    return tmp_path


STORES = ["--store", "chats.sqlite", "--reviews", "reviews.sqlite", "--log-prompts", "prompts.jsonl"]


def test_export_then_erasure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "export", "ada", "--out", "export", *STORES]) == 0
    summary = "1 conversation, 3 messages, 1 preference, 1 response, 1 review item, 1 logged prompt"
    assert capsys.readouterr().out == f"export: {summary}\n"
    assert stat.S_IMODE((folder / "export").stat().st_mode) == 0o700
    assert json.loads((folder / "export" / "manifest.json").read_text(encoding="utf-8"))["key"] == "ada"
    assert main(["keys", "erase", "ada", "--dry-run", *STORES]) == 0
    assert capsys.readouterr().out == f"to erase: {summary}\n"
    assert main(["keys", "erase", "ada", *STORES]) == 0
    assert capsys.readouterr().out == f"erased: {summary}\n"
    place = Place("", folder, folder)
    left = [name for name in place.files_with(MARKER) if not (folder / "export" / name).exists()]
    assert left == []
    assert place.files_with(OTHER)


def test_a_misspelled_name_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["erase", "adda", "--dry-run"], ["export", "adda", "--out", "export"]):
        assert main(["keys", *command, *STORES]) == 2
        assert "nothing is stored for key='adda'; there is data of 'ada', 'ben': check its name" in capsys.readouterr().err
    assert not (folder / "export").exists()


def test_an_erasure_that_ended_before_its_purge_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place("", folder, folder)
    stores = place.open()
    erase_data(stores, "ada")
    close(stores)
    purged = []
    monkeypatch.setattr(retention, "purge_deleted", lambda engine, metadata: purged.append(engine.url.database))
    assert main(["keys", "erase", "ada", *STORES]) == 0
    assert [Path(name).name for name in purged] == ["chats.sqlite", "reviews.sqlite"]
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.startswith("nothing is stored for key='ada' (any more); there is data of 'ben'. The files are purged")


def test_an_existing_folder_is_not_replaced(folder: Path) -> None:
    (folder / "export").mkdir()
    (folder / "export" / "notes.txt").touch()
    with pytest.raises(UserError, match="is there already"):
        export_key_data("ada", out=folder / "export", store="chats.sqlite", reviews="none")
    assert [file.name for file in (folder / "export").iterdir()] == ["notes.txt"]


def test_what_stays_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reviews = ReviewStore.open("reviews.sqlite")
    judge_next(reviews, "ada", comment="because")
    add_texts(reviews, "of an older version", source="server")
    reviews.close()
    assert erase_key_data("ada", store="none", reviews="reviews.sqlite") == {"reports": 0, "review items": 1}
    printed = capsys.readouterr().out.splitlines()
    assert printed[1] == "1 verdict that the key has given as a reviewer stay: the audit log needs them as evidence"
    assert printed[2].startswith("1 text in reviews were added by an older lmcraft")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is no store"),
        (["--store", "none.sqlite"], "does not exist"),
        (["--store", "none", "--log-prompts", "none.jsonl"], "does not exist"),
        (["--store", "none", "--log-prompts", "chats.sqlite"], "holds something else than logged prompts"),
        (["--store", "none", "--log-prompts", "/dev/null"], "is no file"),
        (["--store", "reviews.sqlite"], "none of the tables"),
        (["--store", "mysql://x/y"], "unknown database type"),
    ],
    ids=["no store", "no file", "no log", "another file", "a device", "another kind", "another database"],
)
def test_stores_that_cannot_be_opened(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "erase", "ada", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_name_that_no_key_has_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="key has NUL"):
        erase_key_data("ada\0", store="chats.sqlite", reviews="none")


def test_the_default_stores_are_those_of_serve(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = folder / ".local" / "share" / "lmcraft"
    data.mkdir(parents=True)
    store = Store.open(data / "chats.sqlite")
    store.create("ada", title=MARKER)
    store.close()
    assert main(["keys", "erase", "ada"]) == 0
    assert capsys.readouterr().out == "erased: 1 conversation\n"


def test_a_text_of_another_key_stays(folder: Path) -> None:
    reviews = ReviewStore.open("reviews.sqlite")
    for key in ("ada", "ben"):
        reviews.add([NewItem(guideline="harm", answers=["shared"], source="server", sender=key)], "server")
    reviews.close()
    assert erase_key_data("ada", store="none", reviews="reviews.sqlite") == {"reports": 0, "review items": 1}
    assert erase_key_data("ben", store="none", reviews="reviews.sqlite") == {"reports": 0, "review items": 2}
