"""`lmcraft review verify`."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lmcraft import prepare, review_verify
from lmcraft.annotation.audit_log.anchors import append_anchor
from lmcraft.annotation.audit_log.log import head
from lmcraft.annotation.store import ReviewStore
from lmcraft.cli import main
from lmcraft.errors import RunError
from tests.annotation.samples import add_texts, judge_next


@pytest.fixture
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with a verdict, in the current folder."""
    monkeypatch.chdir(tmp_path)
    store = ReviewStore.open("reviews.sqlite")
    add_texts(store, "坏话", "an answer")
    judge_next(store, "ann", "harmful", rule="H2")
    store.close()
    return "reviews.sqlite"


def anchor_of(reviews: str) -> str:
    store = ReviewStore.open(reviews)
    with store.reading() as (connection, _):
        anchor = str(head(connection))
    store.close()
    return anchor


def execute(reviews: str, statement: str) -> None:
    with sqlite3.connect(reviews) as connection:
        connection.execute(statement)
    connection.close()


def test_an_intact_store_has_status_0_and_prints_its_anchor(reviews: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", "verify", reviews]) == 0
    printed = capsys.readouterr().out
    assert "reviews.sqlite is intact: its audit log is one chain of 4 rows" in printed
    assert f"The log ends with {anchor_of(reviews)}\n" in printed
    assert main(["review", "verify", reviews, "--expect", anchor_of(reviews)]) == 0
    assert "1 anchor fits" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("UPDATE audit SET actor = 'eve' WHERE seq = 2", "row 2 was edited"),
        ("DELETE FROM audit WHERE seq = 3", "row 3 was removed"),
        ("DELETE FROM audit WHERE seq > 2", "rows 3 to 4 were removed at the end"),
        ("UPDATE verdicts SET label = 'acceptable'", 'has label "acceptable", but row 4 of the log says "harmful"'),
        ("UPDATE items SET state = 'skipped' WHERE state = 'pending'", 'says "pending"'),
        ("UPDATE contents SET content = replace(content, 'an answer', 'another')", "has another content"),
    ],
    ids=["edit", "removal", "truncation", "verdict", "state", "content"],
)
def test_a_store_that_was_edited_has_status_1(
    reviews: str, statement: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(reviews, statement)
    assert main(["review", "verify", reviews]) == 1
    captured = capsys.readouterr()
    assert text in captured.out and text in captured.err and captured.err.count("\n") == 1
    assert main(["review", "verify", reviews, "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["intact"] is False and text in result["problems"][0]["text"]
    with pytest.raises(RunError, match="is not what was written"):
        review_verify(reviews)


def test_an_old_backup_needs_an_anchor(reviews: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backup = Path(reviews).read_bytes()
    store = ReviewStore.open(reviews)
    anchors = tmp_path / "anchors.txt"
    for person in ("bo", "cy"):
        judge_next(store, person)
        with store.reading() as (connection, _):
            append_anchor(connection, anchors)
            append_anchor(connection, anchors)
    store.close()
    assert [line.split(":")[0] for line in anchors.read_text().splitlines()] == ["5", "6"]
    assert main(["review", "verify", reviews, "--expect", str(anchors)]) == 0
    assert "2 anchors fit" in capsys.readouterr().out
    Path(reviews).write_bytes(backup)
    assert main(["review", "verify", reviews]) == 0
    assert main(["review", "verify", reviews, "--expect", str(anchors)]) == 1
    assert "rows 5 to 6 were removed at the end" in capsys.readouterr().err


def test_the_manifest_of_an_export_is_an_anchor(reviews: str, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"audit": anchor_of(reviews)}))
    assert main(["review", "verify", reviews, "--expect", str(manifest)]) == 0
    assert main(["review", "verify", reviews, "--expect", str(tmp_path)]) == 0
    manifest.write_text(json.dumps({"audit": f"4:{'0' * 64}"}))
    assert main(["review", "verify", reviews, "--expect", str(manifest)]) == 1
    store = ReviewStore.open(reviews)
    judge_next(store, "bo", "harmful", rule="H2")
    store.close()
    prepare(out=tmp_path / "export", from_review=reviews)
    assert main(["review", "verify", reviews, "--expect", str(tmp_path / "export")]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.sqlite"], "reviews 'missing.sqlite' does not exist"),
        (["other.sqlite"], "other"),
        (["reviews.sqlite", "--expect", "12:abc"], "expect='12:abc' is neither an anchor nor a file"),
        (["reviews.sqlite", "--expect", f"0:{'1' * 64}"], "names row 0"),
        (["reviews.sqlite", "--expect"], "expect is empty"),
        (["reviews.sqlite", "--expect", ""], "expect='' is neither an anchor nor a file"),
        (["reviews.sqlite", "--expect", "empty.txt"], "'empty.txt' has no anchors"),
        (["reviews.sqlite", "--expect", "bad.txt"], "'bad.txt':2 is not an anchor"),
        (["reviews.sqlite", "--expect", "manifest.json"], "has no anchor of an audit log"),
        (["reviews.sqlite", "--expect", "broken.json"], "cannot be read"),
        (["reviews.sqlite", "--expect", "."], "'.' is neither an anchor nor a file"),
    ],
    ids=["missing", "other", "short", "zero", "none", "nothing", "empty", "bad", "manifest", "broken", "folder"],
)
def test_bad_input_has_status_2(
    reviews: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty.txt").write_text("# none\n\n")
    Path("bad.txt").write_bytes(f"1:{'0' * 64} 2026\n\xff\x00bad\n".encode("latin-1"))
    if "." not in arguments:
        Path("manifest.json").write_text('{"audit": [1]}')
    Path("broken.json").write_text('{"audit": ')
    execute("other.sqlite", "CREATE TABLE t (x)")
    assert main(["review", "verify", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [["review", "verify"], ["review", "status"], ["prepare", "--out", "out", "--from-review"]],
    ids=["verify", "status", "export"],
)
@pytest.mark.parametrize("lost", ["everything", "audit", "audit_head", "lmcraft_reviews", "verdicts"])
def test_a_store_that_was_emptied_is_not_filled_again(
    command: list[str], lost: str, reviews: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if lost == "everything":
        Path(reviews).write_bytes(b"")
        Path(f"{reviews}-wal").unlink(missing_ok=True)
    else:
        with closing(sqlite3.connect(reviews)) as connection:
            connection.executescript(f"PRAGMA foreign_keys=OFF; DROP TABLE {lost}; PRAGMA wal_checkpoint(TRUNCATE)")
    before = Path(reviews).read_bytes()
    assert main([*command, reviews]) == 2
    error = capsys.readouterr().err
    assert "reviews 'reviews.sqlite'" in error and error.count("\n") == 1, error
    assert Path(reviews).read_bytes() == before and not Path("out").exists()


def test_a_file_that_is_damaged_is_one_sentence(reviews: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(Path(reviews).read_bytes())
    data[8192:16384] = b"\xff" * 8192
    Path(reviews).write_bytes(data)
    assert main(["review", "verify", reviews]) in (1, 2)
    assert capsys.readouterr().err.count("\n") == 1
