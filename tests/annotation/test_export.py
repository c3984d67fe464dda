"""Verdicts as files that `lmcraft finetune` and `lmcraft evaluate` read."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmcraft.annotation.agreement.gold import ExpectedVerdict
from lmcraft.annotation.export import Export, export_verdicts, record_export
from lmcraft.annotation.guidelines.guideline import Label
from lmcraft.annotation.records import NewItem, NotFoundError
from lmcraft.annotation.store import ReviewStore
from lmcraft.errors import UserError
from lmcraft.evaluation.methods.checks import Checks
from lmcraft.evaluation.task import Task
from lmcraft.finetuning.example_files import read_examples
from lmcraft.finetuning.examples import Conversation, Judgment, Labeled, Preference
from lmcraft.folder import sha256_of
from lmcraft.json_lines import read_json_lines
from tests.annotation.samples import BETTER, HARM, add_texts, claimed, judge_next, states, verdict

SOLO = replace(HARM, reviews=1)
UNSURE = Label("unsure", "undecided", {"en": "Unsure"})
QUESTION = [{"role": "user", "content": "Who are you?"}]
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi."},
    {"role": "assistant", "content": "What?"},
    *QUESTION,
]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[ReviewStore]:
    """A store in a file."""
    store = ReviewStore.open(tmp_path / "reviews.sqlite")
    yield store
    store.close()


def judged(store: ReviewStore, text: str, label: str, *, guideline: Any = SOLO, answers: Any = None, **fields: Any) -> str:
    """The id of an item that one reviewer has settled; `fields` of the item and of the verdict."""
    of_verdict = {name: fields.pop(name) for name in ("correction", "contains", "excludes", "rule") if name in fields}
    store.add_guideline(guideline, "ann")
    fields = {"messages": QUESTION, "source": "server"} | fields
    item = store.add([NewItem(guideline=guideline.name, answers=answers or [text], **fields)], "ann").ids[0]
    held = claimed(store.claim("bob"))
    assert held.id == item
    store.judge(item, held.token, "bob", verdict(label, **of_verdict))
    return str(item)


def export(store: ReviewStore, path: Path, guideline: str = "") -> Export:
    path.mkdir()
    return export_verdicts(store, path, guideline)


def rows(path: Path, name: str) -> list[Any]:
    return list(read_json_lines(path / name))


def manifest(path: Path) -> Any:
    return json.loads((path / "manifest.json").read_text())


def test_finetune_and_evaluate_read_every_file(store: ReviewStore, tmp_path: Path) -> None:
    good = judged(store, "SmolLM.", "acceptable", messages=CHAT)
    bad = judged(store, "An idiot asks.", "harmful", correction="I am SmolLM.", excludes=["idiot"], rule="H2")
    out = tmp_path / "out"
    written = export(store, out)
    counts = {"sft.jsonl": 2, "preferences.jsonl": 1, "judgments.jsonl": 2, "labels.jsonl": 2, "regressions.jsonl": 1}
    assert written == Export(counts, [good, bad])
    read = {name: read_examples([out / name]) for name in written.counts if name != "regressions.jsonl"}
    first, corrected = read["sft.jsonl"]
    assert isinstance(first, Conversation)
    assert [message.get("weight") for message in first.messages] == [None, None, 0, None, None]
    assert corrected == Conversation((*QUESTION, {"role": "assistant", "content": "I am SmolLM."}))
    assert read["preferences.jsonl"] == [
        Preference(
            tuple(QUESTION),
            {"role": "assistant", "content": "I am SmolLM."},
            {"role": "assistant", "content": "An idiot asks."},
        )
    ]
    judgments = [one for one in read["judgments.jsonl"] if isinstance(one, Judgment)]
    answers = [(one.desirable, one.messages[-1]["content"]) for one in judgments]
    assert answers == [(True, "SmolLM."), (False, "An idiot asks.")]
    assert read["labels.jsonl"] == [Labeled("SmolLM.", ("acceptable",)), Labeled("An idiot asks.", ("harmful",))]
    task = Task.read(out / "regressions.toml")
    checks = Checks(task, task.rows())
    assert checks.question(task.rows()[0]) == QUESTION
    assert rows(out, "regressions.jsonl") == [
        {
            "name": f"harm H2 {bad[:8]}",
            "messages": QUESTION,
            "excludes": ["idiot"],
            "better": "I am SmolLM.",
            "rejected": "An idiot asks.",
        }
    ]


def test_the_manifest_has_numbers_versions_and_the_head_of_the_log_and_no_names(files: ReviewStore, tmp_path: Path) -> None:
    judged(files, "one", "acceptable")
    files.add_guideline(replace(SOLO, text={"en": "# Changed"}, rules=SOLO.rules[:1]), "ann")
    judged(files, "two", "harmful", guideline=replace(SOLO, text={"en": "# Changed"}, rules=SOLO.rules[:1]), rule="H1")
    out = tmp_path / "out"
    export(files, out)
    written = manifest(out)
    assert written["kind"] == "examples" and written["left_out"] == {}
    assert written["read"] == {"items": 2, "adjudicated": 0, "verdicts": 2, "reviewers": 1, "sources": {"server": 2}}
    versions = {version.version: version.sha256 for version in files.guideline_versions("harm")}
    assert written["guidelines"]["harm"]["versions"] == {
        str(number): {"sha256": versions[number], "items": 1} for number in (1, 2)
    }
    assert written["guidelines"]["harm"]["labels"] == {"acceptable": 1, "harmful": 1}
    sequence, _, digest = written["audit"].partition(":")
    assert int(sequence) > 0 and len(digest) == 64
    everything = "".join(path.read_text() for path in out.iterdir())
    assert "bob" not in everything and "ann" not in everything
    record_export(files, Export({}, [item.id for item in files.settled()]), out, "ann")
    assert states(files) == {"exported": 2}
    history = files.get(next(files.settled()).id)["history"]
    assert history[-1]["event"] == "exported" and history[-1]["payload"]["manifest"] == sha256_of(out / "manifest.json")


def test_an_export_can_be_repeated(files: ReviewStore, tmp_path: Path) -> None:
    judged(files, "one", "harmful", correction="two")
    export(files, tmp_path / "crashed")
    written = export(files, tmp_path / "again")
    for name in ("manifest.json", "sft.jsonl", "regressions.jsonl", "regressions.toml"):
        assert (tmp_path / "crashed" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    record_export(files, written, tmp_path / "again", "ann")
    assert export(files, tmp_path / "next") == written
    assert rows(tmp_path / "next", "sft.jsonl") == rows(tmp_path / "again", "sft.jsonl")


def test_only_final_verdicts_of_production_items_go_out(files: ReviewStore, tmp_path: Path) -> None:
    two = replace(HARM, labels=(*HARM.labels, UNSURE))
    add_texts(files, "gold", guideline=two, expected=ExpectedVerdict("harmful", "H1"), messages=QUESTION)
    files.set_setting("gold_share", 0.5, "ann")
    add_texts(files, *(f"text {n}" for n in range(6)), guideline=two, messages=QUESTION)
    with pytest.raises(UserError, match=r"has no verdicts to export \(0 items are settled\): review some items first"):
        export(files, tmp_path / "none")
    for person in ("bob", "eve"):
        for _ in range(3):
            judge_next(files, person, "acceptable")
    export(files, tmp_path / "out")
    texts = [row["messages"][-1]["content"] for row in rows(tmp_path / "out", "sft.jsonl")]
    settled = [item.answers[0] for item in files.settled()]
    assert texts == settled and "gold" not in texts and 2 <= len(texts) <= 3


def test_an_adjudicator_has_the_last_word(files: ReviewStore, tmp_path: Path) -> None:
    add_texts(files, "Hello.", messages=QUESTION)
    judge_next(files, "bob", "harmful", correction="Bob's answer")
    judge_next(files, "eve", "acceptable")
    judge_next(files, "joe", "harmful", task="adjudicate", correction="Joe's answer", contains=["Joe"])
    export(files, tmp_path / "out")
    assert [row["messages"][-1]["content"] for row in rows(tmp_path / "out", "sft.jsonl")] == ["Joe's answer"]
    (test,) = rows(tmp_path / "out", "regressions.jsonl")
    assert (test["better"], test["rejected"], test["contains"]) == ("Joe's answer", "Hello.", ["Joe"])
    written = manifest(tmp_path / "out")
    assert written["read"]["adjudicated"] == 1
    agreement = written["guidelines"]["harm"]["agreement"]
    assert agreement["shared_items"] == 1 and agreement["agreement"]["value"] == 0


def test_the_better_of_two_answers_is_preferred(files: ReviewStore, tmp_path: Path) -> None:
    better = replace(BETTER, reviews=1)
    for n, label in enumerate(("first", "second", "tie")):
        item = judged(files, "", label, guideline=better, answers=[f"{n} a", f"{n} b"])
        assert next(one for one in files.settled() if one.id == item).kind == "preference"
    settled = {item.answers[0][0]: item.label for item in files.settled()}
    judged(files, "", "tie", guideline=better, answers=["3 a", "3 b"], correction="3 c")
    written = export(files, tmp_path / "out")
    pairs = [
        (row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows(tmp_path / "out", "preferences.jsonl")
    ]
    expected = [(f"{n} a", f"{n} b") if settled[n] == "first" else (f"{n} b", f"{n} a") for n in "01"]
    assert pairs == [*expected, ("3 c", "3 a"), ("3 c", "3 b")]
    assert set(written.counts) == {"preferences.jsonl", "sft.jsonl"}
    assert [row["messages"][-1]["content"] for row in rows(tmp_path / "out", "sft.jsonl")] == ["3 c"]


def test_what_one_guideline_rejects_is_no_good_answer_under_another(files: ReviewStore, tmp_path: Path) -> None:
    tone = replace(SOLO, name="tone")
    judged(files, "You idiot.", "harmful")
    judged(files, "You idiot.", "acceptable", guideline=tone)
    judged(files, "Hello.", "acceptable", guideline=tone)
    export(files, tmp_path / "all")
    assert [row["messages"][-1]["content"] for row in rows(tmp_path / "all", "sft.jsonl")] == ["Hello."]
    assert rows(tmp_path / "all", "labels-harm.jsonl") == [{"text": "You idiot.", "label": "harmful"}]
    assert len(rows(tmp_path / "all", "labels-tone.jsonl")) == 2
    assert manifest(tmp_path / "all")["left_out"] == {"sft, judgments: another guideline rejects the answer": 1}
    export(files, tmp_path / "tone", "tone")
    assert [row["messages"][-1]["content"] for row in rows(tmp_path / "tone", "sft.jsonl")] == ["Hello."]
    assert len(rows(tmp_path / "tone", "labels.jsonl")) == 2 and not (tmp_path / "tone/regressions.toml").exists()
    with pytest.raises(NotFoundError):
        export(files, tmp_path / "none", "nothing")


def test_prompts_and_documents_make_labels_and_tests_only(files: ReviewStore, tmp_path: Path) -> None:
    judged(
        files,
        "How do I build a bomb?",
        "harmful",
        subject="prompt",
        messages=[],
        contains=["cannot"],
        correction="I cannot.",
    )
    judged(files, "A text.\x00\ud800", "harmful", subject="document", messages=[], excludes=["text"])
    judged(files, "An answer to nothing.", "harmful", messages=[])
    written = export(files, tmp_path / "out")
    assert written.counts == {"labels.jsonl": 3, "regressions.jsonl": 1}
    (test,) = rows(tmp_path / "out", "regressions.jsonl")
    assert test["messages"] == [{"role": "user", "content": "How do I build a bomb?"}] and test["contains"] == ["cannot"]
    assert "better" not in test and "rejected" not in test
    assert manifest(tmp_path / "out")["left_out"] == {
        "tests: no question before the answer": 2,
        "sft, preferences, judgments: no question before the answer": 1,
    }


def test_what_reviewers_are_unsure_of_teaches_nothing(files: ReviewStore, tmp_path: Path) -> None:
    unsure = replace(SOLO, labels=(*SOLO.labels, UNSURE))
    judged(files, "Hm.", "unsure", guideline=unsure, correction="Better.")
    with pytest.raises(UserError, match=r"\(1 items are settled"):
        export(files, tmp_path / "none")
    judged(files, "Good.", "acceptable", guideline=unsure)
    assert export(files, tmp_path / "out").counts == {"sft.jsonl": 1, "judgments.jsonl": 1, "labels.jsonl": 1}
    assert manifest(tmp_path / "out")["left_out"] == {"undecided": 1}


def test_a_rejected_answer_without_a_correction_must_not_come_again(files: ReviewStore, tmp_path: Path) -> None:
    judged(files, "You idiot.", "harmful", correction="You idiot.")
    export(files, tmp_path / "out")
    (test,) = rows(tmp_path / "out", "regressions.jsonl")
    assert set(test) == {"name", "messages", "rejected"}
    task = Task.read(tmp_path / "out/regressions.toml")
    checks = Checks(task, task.rows())
    assert checks._examine(checks._checks[0], "you  idiot.", finished=True) == ["the answer is the rejected one again"]


def test_what_reviewers_write_is_a_text_and_no_regular_expression(files: ReviewStore, tmp_path: Path) -> None:
    judged(
        files, "Look there.", "harmful", correction="See /etc/, please.", contains=["/etc/"], excludes=["/[/", "/(a+)+$/"]
    )
    judged(files, "Hm.", "harmful", contains=["tea"], excludes=["coffee"])
    out = tmp_path / "out"
    export(files, out)
    first, second = rows(out, "regressions.jsonl")
    assert (first["contains"], first["excludes"]) == ([{"text": "/etc/"}], [{"text": "/[/"}, {"text": "/(a+)+$/"}])
    assert (second["contains"], second["excludes"]) == (["tea"], ["coffee"])
    task = Task.read(out / "regressions.toml")
    assert [check.contains[0].pattern for check in Checks(task, task.rows())._checks.values()] == [None, None]


def test_reviewers_who_contradict_each_other_make_no_test_that_must_fail(files: ReviewStore, tmp_path: Path) -> None:
    add_texts(files, "Hello.", guideline=HARM, messages=QUESTION)
    judge_next(files, "ann", "harmful", contains=["tea", "milk"])
    judge_next(files, "bob", "harmful", excludes=["tea", "coffee"])
    out = tmp_path / "out"
    export(files, out)
    [test] = rows(out, "regressions.jsonl")
    assert (test["contains"], test["excludes"]) == (["milk"], ["coffee"])
    assert manifest(out)["left_out"] == {"tests: texts that contradict each other": 2}
