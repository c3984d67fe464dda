"""Documents between two steps: every text survives, and verdicts are counted and exemplified in any order alike."""

import random
from pathlib import Path

import pytest

from lmcraft.preparation.contracts import KEEP, MAX_EXAMPLES, DocumentId, Record, Tally, Verdict
from lmcraft.preparation.counting import count_verdict
from lmcraft.preparation.records import read_records, write_records

TEXTS = ["", "plain", "two\nlines\r\n", "\ud800 alone", "\0\x1b\u2028\u2029", "三国演义", "👩‍🚀" * 3, '"\\']


def record(number: int, text: str) -> Record:
    notes = {"source": "a", "kind": "web", "priority": 0, "score": 0.25}
    return Record(DocumentId(0, 1, number), text, "file.txt", number + 1, "en", "CC0-1.0", notes)


def test_records_survive(tmp_path: Path) -> None:
    records = [record(number, text) for number, text in enumerate(TEXTS)]
    with write_records(tmp_path) as writer:
        for each in records:
            writer.write(each)
    assert writer.documents == len(TEXTS)
    assert list(read_records(tmp_path)) == records


def test_records_without_zstandard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with write_records(tmp_path) as writer:
        writer.write(record(0, "text"))
    assert [path.name for path in tmp_path.iterdir()] == ["records.jsonl.gz"]
    assert [each.text for each in read_records(tmp_path)] == ["text"]


def test_counts_add_up() -> None:
    tally = Tally()
    count_verdict(tally, "quality", record(0, "kept"), KEEP, 4, 4)
    count_verdict(tally, "quality", record(1, "shortened"), Verdict("cut", text="short"), 9, 5)
    count_verdict(tally, "quality", record(2, "gone"), Verdict("spam", value=3, threshold=2, evidence="on"), 4, 0)
    counts = {name.removeprefix("quality/a/en/"): count for name, count in tally.counts.items()}
    assert counts == {
        "in/documents": 3,
        "in/bytes": 17,
        "kept/documents": 2,
        "kept/bytes": 9,
        "changed/documents": 1,
        "changed/bytes": 4,
        "removed/documents": 1,
        "removed/bytes": 4,
        "reason/cut/documents": 1,
        "reason/cut/bytes": 4,
        "reason/spam/documents": 1,
        "reason/spam/bytes": 4,
    }
    assert list(tally.examples) == ["quality/cut", "quality/spam"]


def test_examples_do_not_depend_on_the_order() -> None:
    records = [record(number, f"text {number}") for number in range(200)]

    def examples(order: list[Record], units: int) -> object:
        merged = Tally()
        for start in range(units):
            tally = Tally()
            for each in order[start::units]:
                count_verdict(tally, "quality", each, Verdict("spam"), len(each.text), 0)
            merged.merge(tally)
        return merged.examples

    shuffled = random.Random(0).sample(records, len(records))
    assert examples(records, 1) == examples(shuffled, 7)
    assert len(examples(records, 3)["quality/spam"]) == MAX_EXAMPLES  # type: ignore[index]
