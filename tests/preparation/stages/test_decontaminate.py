"""Documents that hold items of tasks lose them; the tasks that cannot be checked are named."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from lmcraft.data.run_index import RunIndex
from lmcraft.data.words import hash_words
from lmcraft.errors import UserError
from lmcraft.json_lines import format_json_line
from lmcraft.preparation.contracts import KEEP, DocumentId, Record
from lmcraft.preparation.stages.decontaminate import Decontaminate, build_index

WORDS = [f"{a}{b}" for a in "bcdfghklmnprst" for b in ("al", "er", "in", "ot", "um", "ash", "ick")]
Open = Callable[..., Decontaminate]


class NoPosition:
    skipped: frozenset[DocumentId] = frozenset()

    def at(self, document: DocumentId) -> None:
        pass


def make_text(numbers: random.Random, length: int) -> str:
    return " ".join(numbers.choices(WORDS, k=length))


def make_record(text: str) -> Record:
    return Record(DocumentId(0, 0, 0), text, "a.txt", 1)


@pytest.fixture
def items() -> list[str]:
    return [make_text(random.Random(n), 30) for n in range(5)]


@pytest.fixture
def task(tmp_path: Path, items: list[str]) -> str:
    (tmp_path / "toy.jsonl").write_text("".join(format_json_line({"q": item, "a": "yes"}) for item in items))
    settings = {"kind": "generation", "data": "toy.jsonl", "prompt": "{{ q }}", "answer": "a"}
    (tmp_path / "toy.toml").write_text(tomli_w.dumps(settings))
    return str(tmp_path / "toy.toml")


@pytest.fixture
def open_stage(tmp_path: Path, task: str) -> Open:
    def build(**settings: Any) -> Decontaminate:
        stage = Decontaminate(**{"tasks": (task,), **settings})
        folder = tmp_path / "index"
        folder.mkdir(exist_ok=True)
        build_index(stage.resource().arguments, {}, folder, NoPosition())
        stage.open(folder)
        return stage

    return build


def test_a_passage_is_cut_with_its_margins(open_stage: Open, items: list[str]) -> None:
    before, after = (make_text(random.Random(n), 200) for n in (10, 11))
    verdict = open_stage().judge(make_record(f"{before}\n{items[3].upper()}!\n{after}"))
    assert (verdict.reason, verdict.notes) == ("task-item", {"task_items": ["toy/3"]})
    assert verdict.evidence == items[3].upper()
    assert verdict.text is not None
    start, end = verdict.text.split("\n\n")
    assert before.startswith(start)
    assert after.endswith(end)
    assert 198 <= len(before) - len(start) <= 202
    assert 197 <= len(after) - len(end) <= 202


@pytest.mark.parametrize("text", ["", "\n", "short", "x" * 100_000, "\ud800 \x00", "天地玄黄" * 30])
def test_other_texts_stay(open_stage: Open, text: str) -> None:
    assert open_stage().judge(make_record(text)) == KEEP


def test_twelve_words_in_a_row_are_not_enough(open_stage: Open, items: list[str]) -> None:
    words = items[0].split()
    stage = open_stage()
    assert stage.judge(make_record(" ".join(words[5:17]))) == KEEP
    assert stage.judge(make_record(" ".join(words[5:18]))).reason == "mostly-task-items"
    assert open_stage(run=8).judge(make_record(" ".join(words[5:13]))).reason == "mostly-task-items"


def test_what_is_left_of_a_short_document_is_dropped(open_stage: Open, items: list[str]) -> None:
    verdict = open_stage().judge(make_record(f"Quiz: {items[0]}"))
    assert (verdict.reason, verdict.text) == ("mostly-task-items", None)


def test_a_document_of_too_many_pieces_is_dropped(open_stage: Open, items: list[str]) -> None:
    filler = [make_text(random.Random(n), 200) for n in range(100, 112)]
    stage = open_stage()
    assert stage.judge(make_record("\n".join(f"{a}\n{items[n % 5]}" for n, a in enumerate(filler[:10])))).text
    verdict = stage.judge(make_record("\n".join(f"{a}\n{items[n % 5]}" for n, a in enumerate(filler))))
    assert (verdict.reason, verdict.text, verdict.value) == ("mostly-task-items", None, 5)


def test_dropping_and_reporting(open_stage: Open, items: list[str]) -> None:
    text = f"{make_text(random.Random(9), 300)} {items[1]}"
    dropped = open_stage(action="drop").judge(make_record(text))
    assert (dropped.reason, dropped.text) == ("task-item", None)
    reported = open_stage(action="report").judge(make_record(text))
    assert (reported.reason, reported.text) == ("task-item", text)


def test_tasks_that_cannot_be_opened_are_listed(tmp_path: Path, task: str) -> None:
    lost = tmp_path / "lost.toml"
    lost.write_text(tomli_w.dumps({"kind": "generation", "data": "lost.jsonl", "prompt": "{{ q }}", "answer": "a"}))
    empty = tmp_path / "empty.toml"
    empty.write_text(tomli_w.dumps({"kind": "generation", "data": "toy.jsonl", "prompt": "{{ no }}", "answer": "a"}))
    names = (task, str(lost), str(empty))
    (tmp_path / "index").mkdir()
    _, values = build_index(Decontaminate(names).resource().arguments, {}, tmp_path / "index", NoPosition())
    assert values["tasks"] == [{"name": "toy", "first": 0, "items": 5, "indexed": 5}]
    assert {entry["task"] for entry in values["skipped"]} == {"lost", "empty"}
    assert "lost.jsonl' does not exist" in values["skipped"][0]["reason"]
    with pytest.raises(UserError, match=r"task 'lost' cannot be checked .* strict = false"):
        Decontaminate(names, strict=True).fingerprint()


def test_the_key_depends_on_the_data_of_the_tasks(tmp_path: Path, task: str) -> None:
    before = Decontaminate((task,)).resource().key
    (tmp_path / "toy.jsonl").write_text(format_json_line({"q": "another question", "a": "no"}))
    assert Decontaminate((task,)).resource().key != before
    assert Decontaminate((task,), action="drop").fingerprint() != Decontaminate((task,)).fingerprint()


def test_all_names_every_task(monkeypatch: pytest.MonkeyPatch) -> None:
    from lmcraft.evaluation import catalog
    from lmcraft.evaluation.task import Task

    monkeypatch.setattr(Task, "hash", "0")
    assert list(Decontaminate().fingerprint()["tasks"]) == catalog.task_names()


@pytest.mark.parametrize("settings", [{"run": 7}, {"tasks": ()}, {"tasks": ("nothing",)}])
def test_bad_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        Decontaminate(**settings).fingerprint()


def test_an_index_finds_the_same_after_saving(tmp_path: Path, items: list[str]) -> None:
    groups = [dict(enumerate(items)), {9: items[2], 10: " ".join(items[0].split()[:9])}]
    index = RunIndex.build(groups)
    index.save(tmp_path)
    words_W = hash_words(" and ".join(items))
    occurrences = RunIndex.load(tmp_path).find(words_W)
    assert occurrences == index.find(words_W)
    assert {occurrence.item for occurrence in occurrences} == {0, 1, 2, 3, 4, 9, 10} == index.items
    assert occurrences == sorted(occurrences, key=lambda occurrence: occurrence.first)
    assert RunIndex.build([{0: "too short"}]).find(words_W) == []
    assert RunIndex.build([]).find(np.empty(0, dtype=np.uint64)) == []
