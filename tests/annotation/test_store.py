"""The review store: the life of an item, in SQLite and PostgreSQL."""

from dataclasses import replace
from pathlib import Path

import pytest

from lmcraft.annotation.agreement.gold import ExpectedVerdict
from lmcraft.annotation.records import (
    AlreadyJudgedError,
    ConflictError,
    LeaseLostError,
    NewItem,
    NotFoundError,
    WrongStateError,
)
from lmcraft.annotation.store import ReviewStore
from lmcraft.errors import UserError
from tests.annotation.samples import BETTER, HARM, add_texts, claimed, judge_next, states, verdict


def test_two_reviews_that_agree_settle_an_item(store: ReviewStore) -> None:
    (item,) = add_texts(store, "Hello.")
    _, first = judge_next(store, "bob", "harmful", rule="H2")
    assert (first.state, first.num_verdicts) == ("reviewed", 1)
    assert store.claim("bob").reason == "empty" and not list(store.settled())
    _, second = judge_next(store, "eve", "harmful", correction="Goodbye.", contains=["bye"])
    assert (second.id, second.state, second.num_verdicts) == (item, "reviewed", 2)
    (settled,) = store.settled("harm")
    assert (settled.label, settled.outcome, settled.rule, settled.version) == ("harmful", "reject", "H1", 1)
    assert (settled.answers, settled.correction, settled.contains) == (["Hello."], "Goodbye.", ["bye"])
    assert store.claim("joe").item is None and store.claim("joe", task="adjudicate", role="owner").item is None
    store.mark_exported([item], "ann", "0" * 64)
    assert states(store) == {"exported": 1} and [one.id for one in store.settled()] == [item]


def test_reviews_that_differ_go_to_an_adjudicator_who_did_not_review(store: ReviewStore) -> None:
    (item,) = add_texts(store, "Hello.", decision={"action": "review"})
    judge_next(store, "bob", "harmful", comment="rude")
    _, second = judge_next(store, "eve", "acceptable")
    assert second.state == "disagreed" and store.claim("joe").item is None
    assert store.claim("eve", task="adjudicate", role="adjudicator").reason == "empty"
    with pytest.raises(UserError, match="not for role 'reviewer'"):
        store.claim("joe", task="adjudicate")
    held = claimed(store.claim("joe", task="adjudicate", role="adjudicator"))
    assert held.adjudication is not None and held.adjudication["decision"] == {"action": "review"}
    votes = [(vote["reviewer"], vote["label"], vote["comment"]) for vote in held.adjudication["verdicts"]]
    assert votes == [("A", "harmful", "rude"), ("B", "acceptable", "")]
    assert store.adjudicate(item, held.token, "joe", verdict("harmful", "H2")).state == "adjudicated"
    (settled,) = store.settled()
    assert settled.is_adjudicated and settled.rule == "H2"
    assert [(vote.reviewer, vote.adjudicated_label) for vote in store.votes("harm")] == [
        ("bob", "harmful"),
        ("eve", "harmful"),
    ]


def test_a_repeated_verdict_gets_the_same_answer_and_another_one_of_its_id_is_refused(store: ReviewStore) -> None:
    add_texts(store, "Hello.")
    item = claimed(store.claim("bob"))
    new = verdict("harmful")
    answer = store.judge(item.id, item.token, "bob", new)
    judge_next(store, "eve")
    assert store.judge(item.id, item.token, "bob", replace(new, seconds=9.0)) == answer
    with pytest.raises(ConflictError):
        store.judge(item.id, item.token, "bob", replace(new, label="acceptable"))
    with pytest.raises(ConflictError):
        store.judge(item.id, item.token, "eve", new)
    with pytest.raises(LeaseLostError):
        store.judge(item.id, item.token, "bob", verdict("harmful"))
    assert len(store.votes("harm")) == 2


def test_a_claim_is_held_by_one_person_who_gets_it_again(store: ReviewStore) -> None:
    add_texts(store, "Hello.")
    first = claimed(store.claim("bob"))
    assert claimed(store.claim("bob")).token == first.token and store.claim("eve").item is None
    assert store.find(state="claimed")[0][0].holder == "bob" and store.counts()["claimed"] == 1
    with pytest.raises(LeaseLostError):
        store.judge(first.id, first.token, "eve", verdict())
    with pytest.raises(LeaseLostError):
        store.renew(first.token, "eve")
    assert store.renew(first.token, "bob") >= first.expires
    store.release(first.token, "bob")
    store.release(first.token, "bob")
    assert claimed(store.claim("eve")).id == first.id
    with pytest.raises(LeaseLostError):
        store.judge(first.id, first.token, "bob", verdict())


def test_the_next_item_has_the_highest_priority(store: ReviewStore) -> None:
    add_texts(store, "dull")
    add_texts(store, "severe", severity=0.6)
    add_texts(store, "frequent", traffic=100)
    store.add([NewItem(guideline="harm", answers=["dull"], source="report", uncertainty=0.9, traffic=10)], "ann")
    assert [claimed(store.claim(name)).answers[0] for name in ("a", "b", "c")] == ["dull", "frequent", "severe"]
    assert [item.excerpt for item in store.find()[0]] == ["dull", "frequent", "severe"]


def test_skips_and_escalations(store: ReviewStore) -> None:
    skipped, escalated = add_texts(store, "one", "two")
    bob = claimed(store.claim("bob"))
    assert store.skip(bob.id, bob.token, "bob").state == "pending"
    assert store.skip(bob.id, bob.token, "bob").state == "pending"  # a repetition
    other = claimed(store.claim("bob"))
    assert (bob.id, other.id) == (skipped, escalated)
    assert store.escalate(other.id, other.token, "bob", "unclear").state == "escalated"
    eve = claimed(store.claim("eve"))
    assert store.skip(eve.id, eve.token, "eve").state == "skipped"
    assert states(store) == {"skipped": 1, "escalated": 1}
    assert store.claim("bob", task="adjudicate", role="owner").item is None
    assert claimed(store.claim("joe", task="adjudicate", role="owner")).id == escalated
    assert store.requeue(skipped, "ann").state == "pending"
    with pytest.raises(WrongStateError):
        store.requeue(escalated, "ann")
    assert store.claim("eve").item is None and claimed(store.claim("joe")).id == skipped


def test_gold_items_look_like_others_and_never_settle(store: ReviewStore) -> None:
    store.set_setting("gold_share", 0.5, "ann")
    add_texts(store, *(f"gold {number}" for number in range(20)), expected=ExpectedVerdict("harmful"))
    assert store.claim("bob").reason == "empty"  # gold items alone are no work
    add_texts(store, *(f"item {number}" for number in range(40)))
    judged = [judge_next(store, "bob") for _ in range(40)]
    texts = [item.answers[0] for item, _ in judged]
    num_gold = sum(text.startswith("gold") for text in texts)
    assert 8 <= num_gold <= 20 and len(set(texts)) == 40
    assert {(answer.state, answer.num_verdicts) for _, answer in judged} == {("reviewed", 1)}
    assert states(store) == {"gold": 20, "pending": num_gold, "reviewed": 40 - num_gold}
    assert sum(vote.is_gold for vote in store.votes("harm")) == num_gold


def test_the_exposure_cap_counts_different_sensitive_items(store: ReviewStore) -> None:
    store.set_setting("exposure_cap", 2, "ann")
    add_texts(store, *"abc", guideline=replace(HARM, sensitive=True))
    store.release(claimed(store.claim("bob")).token, "bob")
    judge_next(store, "bob")
    judge_next(store, "bob")
    assert store.claim("bob").reason == "exposure_cap"
    add_texts(store, "mild", guideline=replace(HARM, name="tone"))
    assert claimed(store.claim("bob")).answers == ["mild"]
    assert store.claim("bob", guideline="harm").reason == "exposure_cap" and store.claim("eve").item is not None


def test_answers_to_compare_come_in_both_orders_and_labels_are_mapped_back(store: ReviewStore) -> None:
    store.add_guideline(BETTER, "ann")
    store.add([NewItem(guideline="better", answers=[f"good {n}", f"bad {n}"], source="file") for n in range(30)], "ann")
    orders = []
    for _ in range(30):
        item = claimed(store.claim("bob"))
        position = [answer.startswith("good") for answer in item.answers].index(True)
        store.judge(item.id, item.token, "bob", verdict(("first", "second")[position]))
        orders.append(position)
    assert 5 < sum(orders) < 25
    assert {vote.label for vote in store.votes("better")} == {"first"}


def test_versions_of_a_guideline(store: ReviewStore) -> None:
    add_texts(store, "Hello.")
    held = claimed(store.claim("bob"))
    new = replace(HARM, rules=HARM.rules[1:])
    assert store.add_guideline(HARM, "ann")[0].version == 1
    version, changed = store.add_guideline(new, "ann")
    assert (version.version, changed) == (2, ["H1"]) and store.guidelines() == [version]
    store.judge(held.id, held.token, "bob", verdict(rule="H1"))  # of the version that was claimed
    held = claimed(store.claim("eve"))
    with pytest.raises(UserError, match=r"rule='H1' is not one of guideline 'harm' version 2; cite one of H2"):
        store.judge(held.id, held.token, "eve", verdict(rule="H1"))
    with pytest.raises(UserError, match="label='evil' is not one of"):
        store.judge(held.id, held.token, "eve", verdict("evil", "H2"))
    with pytest.raises(NotFoundError):
        store.guideline("harm", 3)
    with pytest.raises(UserError, match="another name"):
        store.add_guideline(replace(BETTER, name="harm"), "ann")


def test_pages_of_items(store: ReviewStore) -> None:
    add_texts(store, *(f"Item {number} 100%" for number in range(7)), traffic=3)
    seen, after = [], ""
    while True:
        page, after = store.find(guideline="harm", limit=3, after=after)
        seen += [item.excerpt for item in page]
        if not after:
            break
    assert seen == [f"Item {number} 100%" for number in range(7)]
    assert [item.excerpt for item in store.find(search="ITEM 4")[0]] == ["Item 4 100%"]
    assert not store.find(search="1_0%")[0] and len(store.find(search="0%")[0]) == 7
    (odd,) = add_texts(store, 'ÉTÉ "quoted"\nС новой 天气_1', source="filter")
    letters = ("été", "\nс НОВОЙ") if store.engine.dialect.name == "sqlite" else ()
    for text in ('É "QUO', "天气_", "_1", f" {odd.upper()}", *letters):
        assert [item.id for item in store.find(search=text)[0]] == [odd]
    assert not store.find(state="reviewed")[0] and len(store.find(source="file")[0]) == 7
    for wrong in (
        {"state": "lost"},
        {"source": "x"},
        {"after": "x"},
        {"limit": 0},
        {"search": "\0"},
        {"guideline": "\ud800"},
    ):
        with pytest.raises(UserError):
            store.find(**wrong)  # type: ignore[arg-type]


def test_a_second_verdict_of_a_person_says_that_there_is_one(store: ReviewStore) -> None:
    add_texts(store, "Hello.")
    held = claimed(store.claim("bob"))
    first, second = verdict("harmful"), verdict("acceptable")
    store.judge(held.id, held.token, "bob", first)
    assert store.judge(held.id, held.token, "bob", first).num_verdicts == 1  # a client that lost the answer
    for repeat in (
        lambda: store.judge(held.id, held.token, "bob", second),
        lambda: store.skip(held.id, held.token, "bob", "other"),
    ):
        with pytest.raises(AlreadyJudgedError, match="already judged"):
            repeat()
    with pytest.raises(LeaseLostError, match="has ended"):
        store.judge(held.id, held.token, "eve", second)


def test_a_search_looks_at_texts_only(store: ReviewStore) -> None:
    add_texts(store, '{"role": "user", "content": "x"}, {"y": [{}, "z"]}', "\\", "a\nb\\\nc", 'q"')
    messages = [{"role": role, "content": "why?"} for role in ("system", "user", "assistant", "user")]
    store.add([NewItem(guideline="harm", answers=["no"], messages=messages, source="file")], "ann")
    expected = {"subject": 0, "MESSAGES": 0, "answers": 0, "system": 0, "role": 1, "content": 1, "user": 1, "tool": 0}
    expected |= {
        "j": 0,
        "n": 2,
        "nb": 0,
        "\nb": 1,
        "\\n": 0,
        ": ": 1,
        "}, {": 1,
        "]}": 1,
        '", "': 1,
        '"': 2,
        "\\": 2,
        "why": 1,
    }
    assert {search: len(store.find(search=search)[0]) for search in expected} == expected


def test_a_store_opens_again(location: str) -> None:
    first = ReviewStore.open(location)
    (item,) = add_texts(first, "Hello.")
    first.close()
    second = ReviewStore.open(location, create=False)
    assert second.get(item)["content"]["answers"] == ["Hello."]
    second.close()


def test_errors_name_the_store(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"reviews '.*' does not exist"):
        ReviewStore.open(tmp_path / "none.sqlite", create=False)
