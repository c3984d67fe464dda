import json
from pathlib import Path

import pytest

from lmcraft.annotation.guidelines.guideline import Guideline, guideline_from_json
from lmcraft.annotation.guidelines.guideline_file import (
    format_guideline,
    open_guideline,
    parse_guideline,
    read_guideline,
    template_names,
)
from lmcraft.errors import UserError

SETTINGS = """\
+++
name = "manners"
kind = "label"
title = "Manners"
labels = [
  { name = "polite", outcome = "accept", title = { en = "Polite", zh = "礼貌" } },
  { name = "rude", outcome = "reject", title = "Rude" },
]
+++
"""
BODY = """
# Manners

## M0 Polite

Nothing else applies.

## Notes

Not a rule.

## M1.2: Rude words

```
## M9 Not a heading
```
They are rude.
"""
TEXT = SETTINGS + BODY
CHINESE = "## M0 礼貌\n\n没有别的。\n\n## M1.2 粗话\n\n是粗话。\n"


def test_rules_begin_with_an_id_and_end_at_the_next_heading() -> None:
    guideline = parse_guideline(TEXT, {"zh": CHINESE})
    assert [(rule.id, dict(rule.title)) for rule in guideline.rules] == [
        ("M0", {"en": "Polite", "zh": "礼貌"}),
        ("M1.2", {"en": "Rude words", "zh": "粗话"}),
    ]
    assert guideline.rules[0].text["en"] == "Nothing else applies."
    assert guideline.rules[1].text["en"].startswith("```\n## M9")
    assert (guideline.reviews, guideline.sensitive, guideline.kind) == (2, False, "label")
    assert [label.outcome for label in guideline.labels] == ["accept", "reject"]


def test_a_guideline_survives_json() -> None:
    guideline = parse_guideline(TEXT, {"zh": CHINESE})
    version = guideline.with_version(3, "2026-01-01T00:00:00Z", "owner")
    assert guideline_from_json(json.loads(json.dumps(guideline.as_json()))) == guideline
    assert guideline_from_json(json.loads(json.dumps(version.as_json()))) == version
    assert version.sha256 == guideline.sha256 == parse_guideline(TEXT.replace("\n", "\r\n"), {"zh": CHINESE}).sha256
    assert guideline.sha256 != parse_guideline(TEXT).sha256


def _reread(guideline: Guideline) -> Guideline:
    texts = format_guideline(guideline)
    return parse_guideline(texts.pop(guideline.language), texts)


def test_a_guideline_can_be_written_as_files_again() -> None:
    plan = 'name = "all"\ntitle = "All"\nsize = 9\nlabels = ["rude"]\nat_most = 0.5\nmin_per_group = { "A.*" = 2 }'
    guideline = parse_guideline(TEXT.replace("+++\n\n#", f"[[sampling]]\n{plan}\n+++\n#"), {"zh": CHINESE})
    assert guideline.sampling[0].min_per_group == {"A.*": 2}
    assert _reread(guideline) == guideline
    chinese = parse_guideline(SETTINGS.replace("labels = [", 'language = "zh"\nlabels = [', 1) + CHINESE, {"en": BODY})
    assert (chinese.language, _reread(chinese)) == ("zh", chinese)
    assert chinese.rules == _reread(chinese).rules


@pytest.mark.parametrize("name", template_names())
def test_templates_can_be_written_again(name: str) -> None:
    assert _reread(open_guideline(name)).sha256 == open_guideline(name).sha256


def test_the_labels_of_a_preference_are_fixed() -> None:
    text = '+++\nname = "better"\nkind = "preference"\ntitle = "Better"\n+++\n## P1 Help\nThe more helpful one.'
    assert [(label.name, label.outcome) for label in parse_guideline(text).labels] == [
        ("first", "first"),
        ("second", "second"),
        ("tie", "tie"),
    ]


def test_a_translation_stands_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "manners.md").write_text(TEXT, encoding="utf-8")
    (tmp_path / "manners.zh.md").write_text(CHINESE, encoding="utf-8-sig")
    assert set(read_guideline(tmp_path / "manners.md").text) == {"en", "zh"}


@pytest.mark.parametrize("name", template_names())
def test_templates_are_written_in_both_languages(name: str) -> None:
    guideline = open_guideline(name)
    assert guideline.name == name
    assert set(guideline.text) == {"en", "zh"} == set(guideline.title)
    assert all(set(label.title) == {"en", "zh"} for label in guideline.labels)


@pytest.mark.parametrize(
    ("replaced", "replacement", "message"),
    [
        ("+++\nname", "name", "g.md:1: the first line is not"),
        ("]\n+++", "]", "g.md:1: the settings do not end"),
        ('name = "manners"', "name = manners", "g.md:2: the settings are not TOML"),
        ('name = "manners"\n', "", "g.md:1: name is missing"),
        ("manners", "Good Manners", "g.md:2: name 'Good Manners' is not a name"),
        ('"label"', '"labels"', "g.md:3: kind 'labels' is unknown: use label or preference"),
        ('title = "Manners"', 'title = { fr = "x" }', "g.md:4: title has the unknown language 'fr'"),
        ('title = "Manners"', 'title = ""', "g.md:4: title is empty"),
        ("labels = [", "reviews = 0\nlabels = [", "g.md:5: reviews=0 is out of range"),
        ("labels = [", 'reviews = "two"\nlabels = [', "g.md:5: reviews='two' is not a whole number"),
        ("labels = [", "review = 2\nlabels = [", "g.md:5: there is no setting 'review'"),
        ('outcome = "reject"', 'outcome = "no"', "g.md:7: outcome 'no' is unknown"),
        ('outcome = "reject"', 'outcome = "accept"', "g.md:5: labels has none with outcome"),
        ('"rude"', '"polite"', "g.md:7: label 'polite' occurs twice"),
        ("M1.2:", "M0", "g.md:21: rule M0 occurs twice (line 13)"),
        ("M1.2: Rude words", "M1.2", "g.md:21: rule M1.2 has no title"),
        ("Nothing else applies.", "", "g.md:13: rule M0 has no text"),
        ("Not a rule.", "Not\0", "g.md:19: the text has the character U+0000"),
        ("## M", "### M", "g.md:11: there is no rule"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(replaced: str, replacement: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_guideline(TEXT.replace(replaced, replacement), file="g.md")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("translation", "message"),
    [
        (CHINESE.replace("M1.2", "M3"), "g.zh.md:5: rule M3 is not in g.md"),
        ("## M0 礼貌\n没有\n", "g.zh.md:1: rule M1.2 is missing"),
        ("+++\n+++\n" + CHINESE, "g.zh.md:1: a translation has no settings"),
    ],
)
def test_a_translation_has_the_same_rules(translation: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_guideline(TEXT, {"zh": translation}, file="g.md", translated_files={"zh": "g.zh.md"})
    assert message in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "b.md").write_bytes(b'+++\nname = "\xe9"')
    cases: list[tuple[str | Path, str]] = [
        ("harmm", "name a Markdown file, or one of gbt45654, harm"),
        (tmp_path / "none.md", "does not exist"),
        (tmp_path, "does not exist"),
        (tmp_path / "b.md", "not in UTF-8"),
        (tmp_path / "a.md", "not in UTF-8"),
    ]
    for address, message in cases:
        with pytest.raises(UserError) as error:
            open_guideline(address)
        assert message in str(error.value) or "folder" in str(error.value)
