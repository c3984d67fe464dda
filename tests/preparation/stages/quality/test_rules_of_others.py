"""The rules of Gopher, C4, FineWeb and FineWeb-2 give the values and decisions of datatrove's own functions.

benchmarks/preparation/rule_values.py made the values.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmcraft.preparation.stages.quality.lines import LineRules
from lmcraft.preparation.stages.quality.measures import MEASURES
from lmcraft.preparation.stages.quality.repetition import Repetition
from lmcraft.preparation.stages.quality.rules import Rule, first_failure, read_profile
from tests.preparation.stages.quality.made_documents import make_document

VALUES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "datatrove_values.json").read_text())
PROFILE = read_profile("web.en")
ALL_RULES = {rule.reason: rule for rule in (*PROFILE.rule, *PROFILE.rule_after_lines)}
NAMES = {
    "repetition": {
        "dup_para_frac": "duplicate_paragraphs",
        "dup_para_char_frac": "duplicate_paragraph_characters",
        "dup_line_frac": "duplicate_lines",
        "dup_line_char_frac": "duplicate_line_characters",
        **{f"top_{n}_gram": f"top_{n}_gram" for n in (2, 3, 4)},
        **{f"duplicated_{n}_n_grams": f"repeated_{n}_grams" for n in range(5, 11)},
    },
    "quality": {
        "gopher_short_doc": "too_few_words",
        "gopher_long_doc": "too_many_words",
        "gopher_below_avg_threshold": "short_words",
        "gopher_above_avg_threshold": "long_words",
        "gopher_too_many_hashes": "number_signs",
        "gopher_too_many_ellipsis": "ellipses",
        "gopher_too_many_bullets": "bullet_lines",
        "gopher_too_many_end_ellipsis": "ellipsis_lines",
        "gopher_below_alpha_threshold": "words_without_letters",
        "gopher_enough_stop_words": "no_stop_words",
    },
    "fineweb": {
        "empty": "line_ends",
        "line_punct_ratio": "line_ends",
        "short_line_ratio": "short_lines",
        "char_dup_ratio": "duplicate_filled_line_characters",
        "list_ratio": "line_breaks",
    },
}


def rules_of(group: str) -> list[Rule]:
    return [ALL_RULES[name] for name in dict.fromkeys(NAMES[group].values())]


@pytest.mark.parametrize("group", NAMES)
def test_first_reasons(group: str) -> None:
    different = {}
    for number, expected in enumerate(VALUES):
        verdict = first_failure(rules_of(group), Repetition(make_document(number)[1]))
        reason, wanted = verdict.reason if verdict else "", expected[group]
        if wanted != "error" and reason != (NAMES[group][wanted] if wanted else ""):
            different[number] = (reason, wanted)
    assert not different


def test_values_of_runs() -> None:
    for number, expected in enumerate(VALUES):
        statistics = Repetition(make_document(number)[1])
        for kind, measure in (("top", "top_run"), ("repeated", "repeated_runs")):
            for length, value in expected[kind].items():
                rule = replace(ALL_RULES["top_2_gram"], tokens=int(length), joints=int(length) - 1, above=0.0)
                assert MEASURES[measure](statistics, rule) == pytest.approx(value, abs=1e-9), (number, kind, length)


def test_lines() -> None:
    assert isinstance(PROFILE.lines, LineRules)
    for number, expected in enumerate(VALUES):
        text = make_document(number)[1]
        verdict = PROFILE.lines.judge(text)
        if verdict.text is None and verdict.reason:
            assert verdict.reason == expected["c4"], number
            continue
        assert not expected["c4"], number
        lines = (line.strip() for line in (text if verdict.text is None else verdict.text).splitlines())
        compact = "\n".join(line for line in lines if line)
        assert hashlib.sha256(compact.encode()).hexdigest()[:16] == expected["c4_text"], number


def test_every_rule_is_tried() -> None:
    reasons = {(group, row[group]) for row in VALUES for group in NAMES}
    rare = {"gopher_long_doc", "dup_line_char_frac", "empty", "duplicated_10_n_grams"}
    assert {(group, name) for group, names in NAMES.items() for name in names if name not in rare} <= reasons
