"""`lmcraft review add` and `lmcraft review guideline`."""

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmcraft import review_add, review_guideline
from lmcraft.annotation.audit_log.anchors import read_anchors
from lmcraft.annotation.audit_log.verification import verify
from lmcraft.annotation.guidelines.guideline_file import format_guideline, open_guideline
from lmcraft.annotation.queue import importing
from lmcraft.annotation.store import ReviewStore
from lmcraft.cli import main
from tests.annotation.samples import judge_next

STORE = "reviews.sqlite"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importing, "ITEMS_PER_BATCH", 2)
    yield tmp_path
    if Path(STORE).exists():
        store = ReviewStore.open(STORE)
        assert verify(store.engine).problems == ()
        store.close()


def write_rows(name: str, *rows: Any) -> str:
    Path(name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return name


def read_store() -> dict[str, dict[str, Any]]:
    """The items by their first answer."""
    store = ReviewStore.open(STORE, create=False)
    summaries, _ = store.find(limit=1000)
    full = [store.get(summary.id) for summary in summaries]
    store.close()
    return {item["content"]["answers"][0]: item for item in full}


ROWS = [
    {"prompt": "你好", "answer": "滚开"},
    {"text": "a page"},
    {"prompt": "你好", "answer": "滚开"},
    {"messages": [{"role": "user", "content": "hi"}]},
    {"prompt": "你好", "answer": "您好"},
]


def test_rows_of_files_become_items_once(capsys: pytest.CaptureFixture[str]) -> None:
    file = write_rows("rows.jsonl", *ROWS, {"unknown": 1})
    assert main(["review", "add", STORE, file]) == 0
    error = capsys.readouterr().err
    assert "added guideline harm, version 1\n" in error
    assert "added 4 items to guideline harm; 1 came again, which counts as traffic (malformed rows: 1; the first is" in error
    assert "rows.jsonl:6" in error
    before = read_store()
    assert {text: item["traffic"] for text, item in before.items()} == {"滚开": 2, "a page": 1, "hi": 1, "您好": 1}
    assert main(["review", "add", STORE, file, file]) == 0
    assert "added 0 items to guideline harm; 10 already in the store" in capsys.readouterr().err
    assert read_store() == before


def test_an_interrupted_import_says_how_far_it_came_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_rows("rows.jsonl", *({"text": f"page {number}"} for number in range(7)))
    add, calls = ReviewStore.add, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(0)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return add(*arguments)

    monkeypatch.setattr(ReviewStore, "add", interrupted)
    assert main(["review", "add", STORE, file]) == 128 + signal.SIGINT
    assert "stopped: 4 items were added; the same command adds the others" in capsys.readouterr().err
    assert len(read_store()) == 4
    assert review_add(STORE, [file])["added"] == 3
    assert len(read_store()) == 7


def test_gold_items_have_the_right_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": "bad", "label": "harmful", "rule": "H1"}, {"text": "good", "label": "acceptable"}, {"text": "unknown"}]
    file = write_rows("gold.jsonl", *rows)
    assert main(["review", "add", STORE, file, "--gold"]) == 0
    assert "added 2 items" in (error := capsys.readouterr().err) and "it has no label" in error
    assert main(["review", "add", STORE, file, "--gold"]) == 0
    assert "added 0 items to guideline harm; 2 already in the store" in capsys.readouterr().err
    judged = write_rows("judged.jsonl", {"text": "judged", "label": "acceptable"})
    review_add(STORE, [judged])
    store = ReviewStore.open(STORE)
    store.set_setting("gold_share", 0.0, "ann")  # gold items are drawn by chance
    judge_next(store, "ann", "acceptable", rule="H0")
    store.close()
    assert review_add(STORE, [judged], gold=True)["not_gold"] == 1
    assert review_add(STORE, [write_rows("gold.jsonl", rows[0] | {"rule": "H2"})], gold=True)["repeated"] == 1


def test_two_answers_are_compared_by_a_guideline_for_preferences() -> None:
    file = write_rows("pairs.jsonl", {"prompt": "hi", "chosen": "hello", "rejected": "go away"}, {"text": "alone"})
    counts = review_add(STORE, [file], guideline="helpful_harmless")
    assert (counts["added"], counts["malformed"]) == (1, 1)
    assert read_store()["hello"]["content"]["answers"] == ["hello", "go away"]


def test_a_guideline_is_added_once_and_then_as_a_new_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", "guideline", STORE, "harm"]) == 0
    assert "added guideline harm, version 1, with" in capsys.readouterr().out
    assert review_guideline(STORE, "harm") == 1
    assert "already, as version 1" in capsys.readouterr().out
    harm = open_guideline("harm")
    texts = format_guideline(replace(harm, text={name: f"{text}\nAnd more.\n" for name, text in harm.text.items()}))
    for language, text in texts.items():
        Path("mine.md" if language == harm.language else f"mine.{language}.md").write_text(text, encoding="utf-8")
    assert main(["review", "add", STORE, write_rows("rows.jsonl", *ROWS), "--guideline", "mine.md"]) == 2
    assert "differs from version 1 of harm in the store" in capsys.readouterr().err
    assert main(["review", "guideline", STORE, "mine.md", "--actor", "安"]) == 0
    assert "version 2" in (printed := capsys.readouterr().out) and "0 verdicts cite them" in printed
    assert review_add(STORE, ["rows.jsonl"], guideline="mine.md")["added"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rows.jsonl", "bad.jsonl", "--malformed", "fail"], "3 items were added before the error"),
        (["rows.jsonl", "missing.jsonl"], "'missing.jsonl' does not exist"),
        (["empty.jsonl"], "there is nothing to review in empty.jsonl"),
        (["bad.jsonl"], "there is nothing to review in bad.jsonl (malformed rows: 1; the first is bad.jsonl:1"),
        (["bad.jsonl", "--malformed", "fail"], "bad.jsonl:1 is malformed"),
        (["."], "folder '.' has nothing to review"),
        (["rows.jsonl", "--guideline", "other"], "guideline 'other' does not exist"),
        (["rows.jsonl", "--guideline", ""], "guideline '' does not exist"),
        (["rows.jsonl", "--source", "dream"], "--source"),
        (["rows.jsonl", "--encoding", "klingon"], "klingon"),
        (["rows.jsonl", "--actor", "a\0b"], "actor"),
    ],
    ids=["second", "missing", "empty", "bad", "fail", "folder", "guideline", "no-guideline", "source", "encoding", "actor"],
)
def test_bad_input_has_status_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("rows.jsonl", *ROWS)
    write_rows("empty.jsonl")
    Path("bad.jsonl").write_bytes(b'{"text": \xff\n')
    assert main(["review", "add", STORE, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_anchors_of_a_file_may_have_comments() -> None:
    Path("anchors.txt").write_text(f"# of the server\n3:{'a' * 64} 2026-11-30T00:00:00Z\n")
    assert [anchor.seq for anchor in read_anchors("anchors.txt")] == [3]
