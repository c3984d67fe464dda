"""Every stage that judges one document at a time keeps the contract, whatever the text."""

import dataclasses
import json
from collections.abc import Mapping
from math import isfinite

import pytest

from lmcraft.preparation.contracts import DocumentId, Record, Stage
from lmcraft.preparation.stages.catalog import build_stage

STAGES: list[tuple[str, Mapping[str, object]]] = [
    ("normalize", {}),
    ("normalize", {"form": "NFKC"}),
    ("language", {}),
    ("language", {"model": "scripts"}),
    ("quality", {}),
    ("quality", {"rules": "web.en"}),
    ("quality", {"rules": "web.zh"}),
    ("attributes", {"attributes": ["identity", "dialect"]}),
    ("hook", {"function": "tests.preparation.stages.example_hook:scrub"}),
]
KINDS = ("web", "prose", "code", "reference", "auto")
PROSE = "The letter that you have sent to the office was read with great interest by all of the people there. "
TEXTS = {
    "empty": "",
    "blank": " \n\t\n  ",
    "a line of a megabyte": "word " * 200_000,
    "a word of a megabyte": "x" * 1_000_000,
    "no words": "?!.,;" * 100,
    "lone surrogates": "a\ud800b \udfff and the rest of it " * 20,
    "NUL": "the text\x00 of a binary\x00 file " * 20,
    "right to left": "هذا نص عربي قصير عن اللغة والكتابة في العالم. " * 10,
    "marks of direction": "the \u202eesrever\u202c of that " * 20,
    "emoji": "👩‍👩‍👧 and the 🏳️‍🌈 of 😀 " * 20,
    "combining": "e\u0301" * 500 + "\u0301" * 50,
    "Chinese": "我们在这里写了一些中文的句子，是为了检查程序。" * 20,
    "Japanese": "これは日本語の文章です。漢字とかなが混ざっています。" * 10,
    "Hindi": "यह हिन्दी का एक वाक्य है जो लिखा गया है। " * 10,
    "carriage returns": "the first line\r\nof the second\rand that\r\n" * 10,
    "digits": "12345 67890 " * 100,
    "markup": "<a href='{}'>the [1] [edit] { link }</a> javascript\n" * 20,
    "unassigned": "\U000e0080\U0010ffff\ufffe\uffff" * 50,
    "prose": PROSE * 3,
    "mojibake": "ÕâÊÇÒ»¸öÖÐÎÄµÄ¾ä×Ó£¬ÎÒÃÇÓÃËüÀ´¼ì²é³ÌÐò¡£" * 10,
    "line separators": "one\u2028two\u2029three\x85four\x0cfive\x1csix of the and",
}


def make_record(text: str, kind: str) -> Record:
    notes = {"kind": kind, "source": "s", "priority": 0}
    return Record(DocumentId(0, 0, 0), text, "a.txt", 1, notes=notes)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize(("kind", "settings"), STAGES, ids=lambda value: value if isinstance(value, str) else "")
def test_verdicts(kind: str, settings: Mapping[str, object], text: str) -> None:
    stage = build_stage(kind, kind, settings)
    again = build_stage(kind, kind, settings)
    for source_kind in KINDS:
        records = [make_record(text, source_kind) for _ in range(2)]
        verdicts = [stage.judge(records[0]), again.judge(records[1])]  # type: ignore[union-attr]
        assert verdicts[0] == verdicts[1]
        assert _without_words(records[0]) == _without_words(records[1])
        verdict = verdicts[0]
        assert records[0].text == text, "only the pipeline replaces the text"
        assert verdict.reason in ("", *stage.reasons)
        if verdict.text is not None:
            assert verdict.reason
            assert verdict.text != text
        for measured in getattr(stage, "measures", lambda record: ())(records[0]):
            assert isfinite(measured.value), measured
        json.dumps([records[0].notes, records[0].language, verdict.value, verdict.threshold])


@pytest.mark.parametrize(("kind", "settings"), STAGES, ids=lambda value: value if isinstance(value, str) else "")
def test_fingerprints_are_stable_and_hold_the_settings(kind: str, settings: Mapping[str, object]) -> None:
    stages = [build_stage(kind, name, settings) for name in ("one", "two")]
    prints = [json.dumps(stage.fingerprint(), sort_keys=True) for stage in stages]
    assert prints[0] == prints[1]
    for name, value in settings.items():
        assert stages[0].fingerprint()[name] == value
    assert [stage.name for stage in stages] == ["one", "two"]


def test_a_stage_that_changed_a_text_keeps_the_result() -> None:
    stage: Stage = build_stage("normalize", "normalize", {})  # type: ignore[assignment]
    for text in TEXTS.values():
        changed = stage.judge(make_record(text, "prose")).text
        if changed is not None:
            assert stage.judge(make_record(changed, "prose")).text is None


def _without_words(record: Record) -> object:
    return dataclasses.replace(record, words=None)
