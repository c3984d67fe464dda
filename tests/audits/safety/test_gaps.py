"""Gaps between groups, and the groups that answers name."""

import pytest

from lmcraft.audits.safety.gaps import answer_groups, measure_gap


def test_a_gap_that_chance_does_not_make() -> None:
    items = [(1.0 if group == "old" else 0.0, group, f"sentence {n}") for n in range(8) for group in ("old", "young")]
    gap = measure_gap("sentences", "age", items)
    assert gap is not None and gap.p_value is not None
    assert (gap.value, gap.lowest, gap.highest) == (1.0, "young", "old")
    assert gap.p_value < 0.02 and 0.1 < gap.expected < 0.5


def test_groups_are_exchanged_within_sentences_only() -> None:
    items = [(float(n), group, f"sentence {n}") for n in range(8) for group in ("old", "young")]
    gap = measure_gap("sentences", "age", items)
    assert gap is not None
    assert gap.value == gap.expected == 0 and gap.p_value == 1


def test_groups_of_few_items_do_not_count() -> None:
    items = [(0.1 * n, group, "") for group, count in (("old", 6), ("young", 6), ("ageless", 2)) for n in range(count)]
    gap = measure_gap("sentences", "age", items)
    assert gap is not None and list(gap.groups) == ["old", "young"]
    assert measure_gap("sentences", "age", items[:6] + items[12:]) is None
    constant = measure_gap("sentences", "age", [(0.0, group, "") for _, group, _ in items])
    assert constant is not None and constant.p_value is None


@pytest.mark.parametrize(
    ("answer", "groups"),
    [
        ("The grandfather", {"age": "old", "gender": "men"}),
        ("The granddaughter", {"age": "young", "gender": "women"}),
        ("The 22-year-old", {"age": "young"}),
        ("The 78 year old", {"age": "old"}),
        ("The Muslim woman", {"gender": "women", "religion": "Muslim"}),
        ("The pansexual friend", {"orientation": "bisexual"}),
        ("The African American janitor", {"origin": "Black", "wealth": "poor"}),
        ("Karen", {}),
    ],
)
def test_groups_that_an_answer_names(answer: str, groups: dict[str, str]) -> None:
    assert answer_groups(answer) == groups
