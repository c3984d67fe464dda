import json
from dataclasses import replace

import pytest
import sqlalchemy as sa

from lmcraft.annotation.audit_log.verification import verify
from lmcraft.annotation.guidelines.guideline_file import open_guideline
from lmcraft.annotation.guidelines.samples import add_sample, describe_plan, evaluate_plan
from lmcraft.annotation.records import NewItem, NewVerdict
from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import sample_items
from lmcraft.errors import UserError

HARM = open_guideline("gbt45654")
SMALL = replace(
    HARM,
    reviews=1,
    sampling=(
        replace(HARM.sampling[0], size=20, at_least=0.8),
        replace(HARM.sampling[3], size=10, min_pool=0, by="", min_per_group={}, at_most=0.3),
    ),
)


def _pool(number: int = 60, start: int = 0) -> list[NewItem]:
    return [
        NewItem(
            guideline="gbt45654",
            answers=[f"Text {n}."],
            source="file",
            subject="document",
            origin={"group": f"site {n % 3}"},
        )
        for n in range(start, start + number)
    ]


def _judge(store: ReviewStore, label: str, count: int) -> None:
    for _ in range(count):
        item = store.claim("ann").item
        assert item is not None
        verdict = NewVerdict(id=f"v-{item.id}", label=label, rule="R0")
        store.judge(item.id, item.token, "ann", verdict)


@pytest.fixture
def filled(store: ReviewStore) -> ReviewStore:
    store.add_guideline(SMALL, "owner")
    return store


def test_a_sample_is_drawn_once(filled: ReviewStore) -> None:
    filled.add(_pool(5), "owner")  # some of the pool are items already
    added = add_sample(filled, "gbt45654", "corpus", _pool(), seed=1, actor="owner")
    assert (added.drawn, added.is_repeated, dict(added.pool)) == (20, False, {"site 0": 20, "site 1": 20, "site 2": 20})
    assert filled.counts("gbt45654")["total"] == added.new + 5
    again = add_sample(filled, "gbt45654", "corpus", reversed(_pool()), seed=1, actor="owner")
    assert (again.is_repeated, again.new) == (True, 0)
    for pool, seed in ((_pool(), 2), (_pool(70), 1)):
        with pytest.raises(UserError, match="has a sample of 20 items already"):
            add_sample(filled, "gbt45654", "corpus", pool, seed=seed, actor="owner")
    assert add_sample(filled, "gbt45654", "corpus", _pool(), seed=2, actor="owner", name="2026-11").drawn == 20
    assert [result.name for result in evaluate_plan(filled, "gbt45654")] == ["", "2026-11"]
    assert verify(filled.engine).problems == ()
    with filled.engine.begin() as connection:
        connection.execute(sa.delete(sample_items).where(sample_items.c.name == ""))
    assert "was removed" in verify(filled.engine).problems[0].text


def test_the_plan_is_evaluated_from_verdicts(filled: ReviewStore) -> None:
    assert describe_plan(filled, "gbt45654") == []
    add_sample(filled, "gbt45654", "corpus", _pool(), seed=1, actor="owner")
    assert describe_plan(filled, "gbt45654") == ["corpus: 0 of 20 settled", "should_answer: nothing was drawn"]
    _judge(filled, "qualified", 15)
    [result] = evaluate_plan(filled, "gbt45654")
    assert (result.settled, result.counted, result.state, result.sample_state) == (15, 15, "undecided", "undecided")
    _judge(filled, "qualified", 2)
    assert evaluate_plan(filled, "gbt45654")[0].sample_state == "met"  # 17 of 20, whatever the others are
    _judge(filled, "unqualified", 2)
    _judge(filled, "unsure", 1)
    [result] = evaluate_plan(filled, "gbt45654")
    assert (result.settled, result.counted, result.unsure, result.share.value) == (20, 17, 1, 0.85)
    assert (result.sample_state, result.state) == ("met", "undecided")
    assert sum(group.settled for group in result.groups) == 20
    line = describe_plan(filled, "gbt45654")[0]
    assert line.startswith("corpus: 20 of 20 settled, 1 of them unsure; qualified 85.0% (")
    assert line.endswith("bar at least 80.0%: the sample reaches it, the pool may or may not")
    assert json.loads(json.dumps(result.as_json()))["sample_state"] == "met"


def test_an_upper_bar(filled: ReviewStore) -> None:
    add_sample(filled, "gbt45654", "should_answer", _pool(), seed=1, actor="owner")
    _judge(filled, "refused", 3)
    _judge(filled, "unsure", 1)  # counts against the bar
    [result] = evaluate_plan(filled, "gbt45654")
    assert (result.counted, result.unsure, result.sample_state) == (3, 1, "not_met")


def test_what_cannot_be_drawn(filled: ReviewStore) -> None:
    for settings, message in [
        ({"stratum": "all"}, "has no sampling 'all'"),
        ({"guideline": "none"}, "there is no guideline"),
        ({"seed": -1}, "seed=-1 is out of range"),
        ({"name": "x" * 65}, "name"),
        ({"pool": _pool(3)}, "the pool has 3 items"),
    ]:
        arguments = {"guideline": "gbt45654", "stratum": "corpus", "pool": _pool(), "seed": 1, "actor": "owner"} | settings
        with pytest.raises(UserError, match=message):
            add_sample(filled, **arguments)
    assert filled.counts()["total"] == 0
