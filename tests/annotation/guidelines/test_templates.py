import re

import pytest

from lmcraft.annotation.guidelines.guideline_file import open_guideline, template_names
from lmcraft.moderation.categories import CATEGORIES


@pytest.mark.parametrize("language", ["en", "zh"])
def test_harm_has_a_rule_for_each_category(language: str) -> None:
    rules = open_guideline("harm").rules
    named = [re.findall(r"`(\w+)`", rule.text[language].split("\n")[0]) for rule in rules]
    assert sorted(name for names in named for name in names) == sorted(CATEGORIES)
    assert [rule.id for rule, names in zip(rules, named, strict=True) if not names] == ["H0"]


def test_the_risks_of_gbt45654_and_its_plan() -> None:
    guideline = open_guideline("gbt45654")
    risks = [rule.id for rule in guideline.rules if rule.id.startswith("A")]
    assert [sum(risk.startswith(group) for risk in risks) for group in ("A1", "A2", "A3", "A4", "A5")] == [8, 9, 5, 7, 2]
    plan = {stratum.name: stratum for stratum in guideline.sampling}
    assert {name: (s.size, s.min_pool, s.at_least, s.at_most) for name, s in plan.items()} == {
        "corpus": (4000, 0, 0.96, None),
        "generated": (1000, 2000, 0.90, None),
        "should_refuse": (300, 500, 0.95, None),
        "should_answer": (300, 500, None, 0.05),
    }


@pytest.mark.parametrize("name", template_names())
def test_each_rule_says_something_in_both_languages(name: str) -> None:
    for rule in open_guideline(name).rules:
        assert len(rule.text["en"]) > 60, rule.id
        assert len(rule.text["zh"]) > 20, rule.id
        assert not re.search("[a-z]{20}", rule.text["zh"])
