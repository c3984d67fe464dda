import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from lmcraft.annotation.guidelines.guideline_file import open_guideline
from lmcraft.annotation.records import NewItem
from lmcraft.annotation.sources.items import read_items
from lmcraft.annotation.sources.rows import ItemFormat
from lmcraft.data.documents import ReadStats
from lmcraft.errors import UserError

HARM = open_guideline("harm")


def _read(path: Path, stats: ReadStats | None = None, **settings: Any) -> list[NewItem]:
    return list(read_items(path, ItemFormat(HARM, **settings), stats or ReadStats()))


def test_rows_that_cannot_be_used_are_counted_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"text": "One."}\n\n{"text": 7}\nnot json\n{"text": ""}\n{"text": "Two."}\n')
    stats = ReadStats()
    assert [item.answers[0] for item in _read(file, stats)] == ["One.", "7", "Two."]
    assert [(row["line"], row["reason"].split(":")[0]) for row in stats.malformed_first] == [
        (4, "not valid JSON"),
        (5, "what is to be judged is empty"),
    ]
    with pytest.raises(UserError, match="4 is malformed"):
        _read(file, ReadStats(malformed_action="fail"))


def test_tables_in_other_formats(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("prompt,answer\nWhy?,Because.\nWhen?,\n", encoding="gb18030")
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(b'{"text": "One."}\n'))
    stats = ReadStats()
    assert [(item.subject, item.answers[0]) for item in _read(tmp_path / "rows.csv", stats)] == [("answer", "Because.")]
    assert [row["line"] for row in stats.malformed_first] == [3]  # a cell without an answer
    assert [item.answers[0] for item in _read(tmp_path / "rows.jsonl.gz")] == ["One."]


def test_any_other_file_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("A page.\nIts end.\n", encoding="utf-16")
    [item] = _read(tmp_path / "page.txt")
    assert (item.subject, item.answers[0]) == ("document", "A page.\nIts end.\n")
    [item] = _read(tmp_path / "page.txt", subject="prompt")
    assert item.subject == "prompt"


def test_documents_that_a_preparation_set_aside(tmp_path: Path) -> None:
    decision = {"stage": "training", "action": "review", "scores": {"hate": 0.7}, "categories": ["hate"]}
    row = {"text": "A page.", "decision": decision, "language": "en", "origin": {"file": "raw.txt", "line": 9}}
    (tmp_path / "set_aside.jsonl").write_text(json.dumps(row) + "\n")
    [item] = _read(tmp_path)
    assert (item.source, item.subject, item.severity) == ("filter", "document", 0.8)
    assert item.origin == {"file": "raw.txt", "line": 9, "listed_in": f"{tmp_path}/set_aside.jsonl:1", "language": "en"}


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tmp_path / "empty").mkdir()
    for name, message in [("empty", "has nothing to review"), ("image.png", "not text"), ("none.jsonl", "does not exist")]:
        with pytest.raises(UserError, match=message):
            _read(tmp_path / name)
