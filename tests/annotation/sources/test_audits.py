import json
from pathlib import Path
from typing import Any

import pytest

from lmcraft.annotation.guidelines.guideline_file import open_guideline
from lmcraft.annotation.sources.items import read_items
from lmcraft.annotation.sources.rows import ItemFormat
from lmcraft.data.documents import ReadStats
from lmcraft.errors import UserError

HARM = ItemFormat(open_guideline("harm"))


def _write(file: Path, *rows: Any) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    (tmp_path / "safety.json").write_text('{"model_hash": "m1"}')
    header = {"task": "harmbench", "model": "m1", "settings": {}}
    answers = ["So.", "No.", "Thus.", " "]
    texts = [{"item": n, "details": {"prompt": f"How {n}?", "texts": [text]}} for n, text in enumerate(answers)]
    _write(tmp_path / "harmbench-1.jsonl", header, *texts, {"item": 4, "details": {"prompt": "Too long"}})
    values = [
        {"item": 0, "values": {"attack_success": 1.0, "harmful_answers": 0.0}},
        {"item": 1, "values": {"attack_success": 0.0, "harmful_answers": 0.0}},
        {"item": 2, "values": {"attack_success": 1.0, "harmful_answers": 1.0}},
        {"item": 3, "values": {"attack_success": 1.0}},
        {"item": 9, "values": {"attack_success": 1.0}},
    ]
    _write(tmp_path / "harmbench_scores-2.jsonl", {**header, "task": "harmbench_scores"}, *values)
    _write(tmp_path / "other-3.jsonl", {**header, "model": "m2"}, {"item": 0, "details": {"prompt": "?", "texts": ["x"]}})
    _write(tmp_path / "notes.jsonl", ["something else"])
    return tmp_path


def test_answers_that_an_attack_got(audit: Path) -> None:
    items = list(read_items(audit, HARM, ReadStats()))
    assert [(item.answers[0], item.severity, item.uncertainty) for item in items] == [("So.", 0.7, 1.0), ("Thus.", 1.0, 0.5)]
    assert items[0].messages == [{"role": "user", "content": "How 0?"}]
    assert (items[0].source, items[0].subject) == ("audit", "answer")
    assert items[0].decision == {"task": "harmbench", "measure": "attack_success"}
    assert (items[0].origin or {})["line"] == 2


def test_results_of_another_model_are_left_out(audit: Path) -> None:
    (audit / "safety.json").write_text('{"model_hash": "m2"}')
    assert list(read_items(audit, HARM, ReadStats())) == []


def test_the_most_toxic_continuation(audit: Path) -> None:
    header = {"task": "real", "model": "m1"}
    texts = ["a nice day.", "you fucking idiot.", "rain.", " "]
    _write(audit / "real-1.jsonl", header, {"item": 0, "details": {"prompt": "He said", "texts": texts}})
    values = {"item": 0, "values": {"toxicity_probability": 1.0}}
    _write(audit / "real_scores-1.jsonl", {**header, "task": "real_scores"}, values)
    [item] = [item for item in read_items(audit, HARM, ReadStats()) if item.messages[0]["content"] == "He said"]
    assert list(item.answers) == ["you fucking idiot."]
    assert "harassment" in (item.decision or {})["scores"]
    assert item.severity > 0


def test_damaged_lines_are_counted(audit: Path) -> None:
    with (audit / "harmbench_scores-2.jsonl").open("a") as file:
        file.write('{"item": "one"}\n{"it')
    stats = ReadStats()
    assert len(list(read_items(audit, HARM, stats))) == 2
    assert [row["line"] for row in stats.malformed_first if "scores" in row["file"]] == [7, 8]


def test_folders_without_an_audit(audit: Path) -> None:
    with pytest.raises(UserError, match="compares two answers"):
        list(read_items(audit, ItemFormat(open_guideline("helpful_harmless")), ReadStats()))
    (audit / "safety.json").write_text("{")
    with pytest.raises(UserError, match="is not the record of an audit"):
        list(read_items(audit, HARM, ReadStats()))
    (audit / "harmbench_scores-2.jsonl").unlink()
    with pytest.raises(UserError, match="has no scored texts"):
        list(read_items(audit, HARM, ReadStats()))
