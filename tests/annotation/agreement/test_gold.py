"""Gold items: when one is due, which, and what a reviewer learns of them."""

from dataclasses import replace

import pytest

from lmcraft.annotation.agreement import gold
from lmcraft.annotation.agreement.gold import ExpectedVerdict, check_expected, is_due, pick
from lmcraft.annotation.store import ReviewStore
from lmcraft.errors import UserError
from tests.annotation.samples import HARM, add_texts, claimed, judge_next, verdict


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_the_share_of_gold_items(share: float) -> None:
    turns = [is_due("bob", number, share, "salt") for number in range(4000)]
    assert sum(turns) / 4000 == pytest.approx(share, abs=0.025)
    assert turns == [is_due("bob", number, share, "salt") for number in range(4000)]


def test_the_turns_depend_on_the_person_and_on_a_secret() -> None:
    turns = {
        key: [is_due(key[0], number, 0.5, key[1]) for number in range(64)]
        for key in (("bob", "salt"), ("eve", "salt"), ("bob", "other"))
    }
    assert len({tuple(turn) for turn in turns.values()}) == 3


def test_the_choice_of_a_gold_item() -> None:
    items = [f"item {number}" for number in range(20)]
    assert pick("bob", items, "salt") == pick("bob", items[::-1], "salt") in items
    assert len({pick(f"person {number}", items, "salt") for number in range(30)}) > 5
    assert pick("bob", [], "salt") is None


@pytest.mark.parametrize(("expected", "message"), [(("bad",), "label 'bad'"), (("harmful", "H9"), "rule 'H9'")])
def test_an_expected_verdict_that_the_guideline_lacks(expected: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_expected(ExpectedVerdict(*expected), HARM)
    check_expected(ExpectedVerdict("harmful", "H2"), HARM)


@pytest.fixture
def always_gold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gold, "is_due", lambda *turn: True)


@pytest.mark.usefixtures("always_gold")
def test_gold_items_look_like_others_and_come_once(store: ReviewStore) -> None:
    ordinary = add_texts(store, *(f"text {number}" for number in range(4)))
    golden = add_texts(store, "gold 0", "gold 1", expected=ExpectedVerdict("harmful"))
    judged = [judge_next(store, "bob", "harmful") for _ in range(6)]
    assert sorted(item.id for item, _ in judged[:2]) == sorted(golden) and {item.id for item, _ in judged[2:]} == set(
        ordinary
    )
    assert {(state.state, state.num_verdicts) for _, state in judged} == {("reviewed", 1)}
    assert {set(vars(item)) == set(vars(judged[0][0])) and item.round is None for item, _ in judged} == {True}
    assert store.claim("bob").reason == "empty" and claimed(store.claim("eve")).id in golden


@pytest.mark.usefixtures("always_gold")
def test_a_reviewer_learns_of_gold_items_a_day_later(store: ReviewStore) -> None:
    """Else the number would tell which item was one."""
    add_texts(store, *(f"text {number}" for number in range(6)))
    add_texts(store, *(f"gold {number}" for number in range(6)), expected=ExpectedVerdict("harmful"))
    for number in range(5):
        judge_next(store, "bob", "harmful" if number else "acceptable")
    for _ in range(4):
        judge_next(store, "eve", "harmful")
    with store.reading() as (connection, now):
        assert gold.record(connection, "bob", now) is None
        tomorrow = now + gold.SECONDS_PER_DAY
        assert gold.record(connection, "bob", tomorrow) == {"judged": 5, "correct": 4}
        assert gold.record(connection, "eve", tomorrow) is None and gold.record(connection, "joe", tomorrow) is None


def test_the_number_of_items_left_does_not_tell_gold_items(store: ReviewStore) -> None:
    add_texts(store, *(f"text {n}" for n in range(12)), guideline=replace(HARM, reviews=1))
    add_texts(
        store, *(f"gold {n}" for n in range(8)), guideline=replace(HARM, reviews=1), expected=ExpectedVerdict("harmful")
    )
    store.set_setting("gold_share", 0.4, "ann")
    shown, golds = [], 0
    while (item := store.claim("bob").item) is not None:
        shown.append(item.num_left)
        store.judge(item.id, item.token, "bob", verdict("harmful"))
        golds += bool(store.get(item.id)["is_gold"])
    assert shown == list(range(len(shown), 0, -1)) and len(shown) == 12 + golds and golds


def test_a_large_number_of_items_left_is_rounded(store: ReviewStore) -> None:
    add_texts(store, *(f"text {n}" for n in range(450)))
    item = claimed(store.claim("bob"))
    store.judge(item.id, item.token, "bob", verdict("harmful"))
    assert (item.num_left, claimed(store.claim("bob")).num_left) == (400, 400)
