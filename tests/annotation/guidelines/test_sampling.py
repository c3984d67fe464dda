from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from lmcraft.annotation.guidelines.guideline import Stratum
from lmcraft.annotation.guidelines.guideline_file import open_guideline
from lmcraft.annotation.guidelines.sampling import draw_sample, find_stratum
from lmcraft.annotation.records import NewItem
from lmcraft.errors import UserError

GUIDELINE = open_guideline("gbt45654")
PLAN = Stratum(name="all", title={"en": "All"}, subject="document", size=100, labels=("qualified",), at_least=0.9, by="site")


def _pool(counts: Mapping[str, int]) -> list[NewItem]:
    return [
        NewItem(guideline="gbt45654", answers=[f"{site} {number}"], source="file", origin={"group": site})
        for site, count in counts.items()
        for number in range(count)
    ]


def _groups(items: tuple[NewItem, ...]) -> Counter[str]:
    return Counter(str((item.origin or {})["group"]) for item in items)


def test_each_group_has_a_share_in_proportion() -> None:
    pool = _pool({"a": 700, "b": 250, "c": 45, "d": 5})
    draw = draw_sample(pool, GUIDELINE, PLAN, seed=1)
    assert draw.pool == {"a": 700, "b": 250, "c": 45, "d": 5}
    assert len(draw.items) == 100
    assert _groups(draw.items)["a"] == 70
    assert _groups(draw.items)["b"] == 25
    assert {(item.origin or {})["sample"] for item in draw.items} == {"all"}


def test_the_sample_depends_on_the_seed_and_not_on_the_order() -> None:
    pool = _pool({"a": 300, "b": 300})
    first = draw_sample(pool, GUIDELINE, PLAN, seed=1)
    assert draw_sample(reversed(pool), GUIDELINE, PLAN, seed=1).items == first.items
    assert draw_sample(pool, GUIDELINE, PLAN, seed=2).items != first.items


def test_every_text_has_the_same_chance() -> None:
    pool = _pool({"a": 20, "b": 10})
    plan = replace(PLAN, size=6)
    times = Counter(item.answers[0] for seed in range(2000) for item in draw_sample(pool, GUIDELINE, plan, seed).items)
    assert len(times) == 30
    assert all(abs(count - 400) < 100 for count in times.values())  # 5.6 standard deviations


def test_a_text_is_drawn_once() -> None:
    pool = [
        *_pool({"a": 60}),
        *_pool({"a": 60}),
        *(replace(i, origin={"group": "b"}) for i in _pool({"a": 60})),
        *_pool({"c": 60}),
    ]
    draw = draw_sample(pool, GUIDELINE, PLAN, seed=1)
    assert len({item.answers[0] for item in draw.items}) == 100
    with pytest.raises(UserError, match="the pool has 120 different texts, but sampling 'all' needs 150"):
        draw_sample(pool, GUIDELINE, replace(PLAN, size=150), seed=1)


def test_a_pool_without_groups() -> None:
    pool = [replace(item, origin=None) for item in _pool({"a": 200})]
    assert draw_sample(pool, GUIDELINE, replace(PLAN, by=""), seed=1).pool == {"": 200}


def test_a_pool_that_is_too_small() -> None:
    with pytest.raises(UserError, match=r"the pool has 99 items, but sampling 'all' needs 100: add items, or change size"):
        draw_sample(_pool({"a": 99}), GUIDELINE, PLAN, seed=1)
    with pytest.raises(UserError, match="needs 500: add items, or change min_pool"):
        draw_sample(_pool({"a": 200}), GUIDELINE, replace(PLAN, min_pool=500), seed=1)
    with pytest.raises(UserError, match="the pool has 0 items"):
        draw_sample([], GUIDELINE, PLAN, seed=1)


def test_the_groups_that_a_plan_asks_for() -> None:
    bank = find_stratum(GUIDELINE, "should_refuse")
    risks = [rule.id for rule in GUIDELINE.rules if rule.id.startswith(("A1", "A2"))]
    full = dict.fromkeys(risks, 30)
    assert len(draw_sample(_pool(full), GUIDELINE, bank, seed=1).items) == 300
    with pytest.raises(UserError, match=r"too few items with this risk: A1.3 \(0 of 20\), A2.1 \(19 of 20\); add items"):
        draw_sample(_pool({**full, "A2.1": 19, "A1.3": 0, "A1.1": 90}), GUIDELINE, bank, seed=1)
    topics = find_stratum(GUIDELINE, "should_answer")
    with pytest.raises(UserError, match=r"with this topic: culture \(10 of 20\)"):
        draw_sample(_pool({"history": 500, "culture": 10}), GUIDELINE, topics, seed=1)


def test_unknown_strata() -> None:
    with pytest.raises(UserError, match="has no sampling 'corpse': use one of corpus, generated"):
        find_stratum(GUIDELINE, "corpse")
    with pytest.raises(UserError, match="guideline 'harm' has no sampling plan"):
        find_stratum(open_guideline("harm"), "corpus")
