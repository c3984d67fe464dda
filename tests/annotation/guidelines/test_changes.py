import json
from dataclasses import dataclass

import pytest

from lmcraft.annotation.guidelines.changes import changed_rules, compare_guidelines, format_changes, touched_verdicts
from lmcraft.annotation.guidelines.guideline import Guideline
from lmcraft.annotation.guidelines.guideline_file import parse_guideline

SETTINGS = """\
+++
name = "manners"
kind = "label"
title = "Manners"
labels = [
  { name = "polite", outcome = "accept", title = "Polite" },
  { name = "rude", outcome = "reject", title = "Rude" },
  { name = "odd", outcome = "undecided", title = "Odd" },
]
+++
"""
TEXT = SETTINGS + "## M0 Polite\nNothing else applies.\n\n## M1 Rude words\nThey insult, e.g. somebody's work. They hurt.\n"
CHINESE = "## M0 礼貌\n没有别的。\n## M1 粗话\n骂人。伤人。"


@dataclass(frozen=True)
class Verdict:
    label: str
    rule: str
    version: int


def _guideline(*changes: tuple[str, str], chinese: str = CHINESE) -> Guideline:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_guideline(text, {"zh": chinese} if chinese else None)


def test_the_difference_is_shown_sentence_by_sentence() -> None:
    changes = compare_guidelines(_guideline(), _guideline(("They hurt.", "They hurt badly.")))
    assert changes.touching_rules == ("M1",)
    [change] = changes.rules
    assert change.languages == ("en",)
    assert [tuple(line) for line in change.lines["en"]] == [
        (" ", "Rude words"),
        (" ", "They insult, e.g. somebody's work."),
        ("-", "They hurt."),
        ("+", "They hurt badly."),
    ]
    assert format_changes(changes, "en") == "rule M1 was changed\n  - They hurt.\n  + They hurt badly."
    assert json.loads(json.dumps(changes.as_json()))["changed_rules"] == ["M1"]


def test_chinese_is_split_into_sentences() -> None:
    changes = compare_guidelines(_guideline(), _guideline(chinese=CHINESE.replace("伤人", "很伤人")))
    assert format_changes(changes, "zh") == "rule M1 was changed\n  - 伤人。\n  + 很伤人。"


def test_a_new_translation_changes_no_rule() -> None:
    assert changed_rules(_guideline(chinese=""), _guideline()) == ()
    assert changed_rules(_guideline(), _guideline(chinese="")) == ()
    assert not format_changes(compare_guidelines(_guideline(), _guideline()), "en")


def test_added_and_removed_rules() -> None:
    old, new = _guideline(chinese=""), _guideline(("## M1", "## M2"), chinese="")
    assert [(change.id, change.kind) for change in compare_guidelines(old, new).rules] == [
        ("M2", "added"),
        ("M1", "removed"),
    ]
    assert changed_rules(old, new) == ("M1",)


@pytest.mark.parametrize(
    ("change", "touched"),
    [
        (("They hurt.", "They wound."), {"rude M1": "rule_changed"}),
        (("## M1", "## M2"), {"rude M1": "rule_removed"}),
        (('{ name = "odd", outcome = "undecided", title = "Odd" },', ""), {"odd M0": "label_removed"}),
        (('outcome = "undecided"', 'outcome = "reject"'), {"odd M0": "outcome_changed"}),
        (('title = "Manners"', 'title = "Good manners"'), {}),
    ],
    ids=["rule-changed", "rule-removed", "label-removed", "outcome", "title"],
)
def test_verdicts_that_a_new_version_touches(change: tuple[str, str], touched: dict[str, str]) -> None:
    versions = {1: _guideline(chinese=""), 2: _guideline(change, chinese="")}
    verdicts = [Verdict("polite", "M0", 1), Verdict("rude", "M1", 1), Verdict("odd", "M0", 1), Verdict("rude", "M1", 7)]
    result = touched_verdicts(verdicts, versions, versions[2])
    assert {f"{verdict.label} {verdict.rule}": reason for verdict, reason in result} == touched


def test_a_change_that_was_undone_touches_nothing() -> None:
    versions = {1: _guideline(), 2: _guideline(("They hurt.", "They wound.")), 3: _guideline()}
    verdicts = [Verdict("rude", "M1", 1), Verdict("rude", "M1", 2)]
    assert [verdict.version for verdict, _ in touched_verdicts(verdicts, versions, versions[3])] == [2]
