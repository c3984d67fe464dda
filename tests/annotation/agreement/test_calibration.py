"""Calibration rounds: blind until the reveal, closed after it, discussed then."""

import json
from dataclasses import replace

import pytest

from lmcraft.annotation.agreement.calibration import (
    MAX_ITEMS,
    add_comment,
    list_rounds,
    open_round,
    read_round,
    reveal_round,
)
from lmcraft.annotation.agreement.gold import ExpectedVerdict
from lmcraft.annotation.agreement.report import agreement_report
from lmcraft.annotation.audit_log.verification import verify
from lmcraft.annotation.guidelines.guideline import Rule, hash_rule
from lmcraft.annotation.records import ConflictError, LeaseLostError, NotFoundError, RoundClosedError, WrongStateError
from lmcraft.annotation.store import ReviewStore
from lmcraft.errors import UserError
from tests.annotation.samples import BETTER, HARM, add_texts, claimed, judge_next, states, verdict


def started(store: ReviewStore, number: int = 2) -> tuple[str, list[str]]:
    """The id of a round, and its items."""
    ids = add_texts(store, *(f"text {index}" for index in range(number)))
    return open_round(store, "first", "harm", "ann", ids=ids)["id"], ids


def vote_all(store: ReviewStore, **labels: list[str]) -> None:
    for person, chosen in labels.items():
        for label in chosen:
            judge_next(store, person, label, comment=f"because, {person}")


def test_a_round_from_opening_to_discussion(store: ReviewStore) -> None:
    round_id, ids = started(store)
    (other,) = add_texts(store, "other", severity=1.0)
    assert claimed(store.claim("bob")).round == round_id  # before the queue
    vote_all(store, bob=["harmful", "harmful"], eve=["harmful", "acceptable"], joe=["harmful", "harmful"])
    assert claimed(store.claim("bob")).id == other
    opened = read_round(store, round_id, "bob")
    assert (opened["state"], opened["items"], opened["voters"], opened["votes"], opened["mine"]) == ("open", 2, 3, 6, 2)
    revealed = reveal_round(store, round_id, "ann")
    assert (revealed["state"], revealed["revealed_by"], revealed["agreement"]["votes"]) == ("revealed", "ann", 6)
    assert revealed["agreement"]["krippendorff"]["value"] == pytest.approx(0.0)
    differing, agreed = revealed["entries"]
    assert (differing["id"], differing["unanimous"], agreed["unanimous"]) == (ids[1], False, True)
    votes = [(vote["reviewer"], vote["label"], vote["comment"]) for vote in differing["votes"]]
    assert votes[1] == ("eve", "acceptable", "because, eve") and len(votes) == 3
    assert differing["answers"] == ["text 1"] and revealed["labels"] == ["acceptable", "harmful"]
    comment = add_comment(store, round_id, ids[1], "eve", "c1", "Why?")
    assert add_comment(store, round_id, ids[1], "eve", "c1", "Why?") == comment
    add_comment(store, round_id, ids[1], "bob", "c2", "H2 says so.")
    thread = read_round(store, round_id, "joe")["entries"][0]["comments"]
    assert [(one["author"], one["text"]) for one in thread] == [("eve", "Why?"), ("bob", "H2 says so.")]
    assert not verify(store.engine).problems
    json.dumps(revealed, allow_nan=False)


def test_no_vote_of_an_open_round_is_seen(store: ReviewStore) -> None:
    """Not in the round, the item, the lists, the counts, the votes, the report on agreement, or what is exported."""
    round_id, ids = started(store)
    vote_all(store, bob=["harmful", "harmful"], eve=["acceptable"])
    for person in ("bob", "eve", "ann"):
        detail = read_round(store, round_id, person)
        assert detail["agreement"] is None
        assert all((entry["votes"], entry["comments"], entry["unanimous"]) == ([], [], None) for entry in detail["entries"])
        texts = json.dumps([detail, list_rounds(store, person)])
        assert "because" not in texts and "acceptable" not in texts.replace('"labels": ["acceptable", "harmful"]', "")
    shown = {
        person: [bool(entry["answers"]) for entry in read_round(store, round_id, person)["entries"]]
        for person in ("eve", "ann")
    }
    assert shown == {"eve": [True, False], "ann": [False, False]}
    for item in ids:
        assert "because" not in json.dumps(store.get(item)) and store.get(item)["num_verdicts"] == 0
        assert [record["event"] for record in store.get(item)["history"]] == ["item_added", "round_opened"]
    assert [row.num_verdicts for row in store.find()[0]] == [0, 0] and states(store) == {"pending": 2}
    report = agreement_report(store, "harm")
    assert store.votes("harm") == [] and report["votes"] == 0 and report["raters"] == []
    reveal_round(store, round_id, "ann")
    assert len(store.votes("harm")) == 3 and "because" in json.dumps(store.get(ids[0]))
    assert agreement_report(store, "harm")["votes"] == 0 and list(store.settled()) == []


def test_votes_of_a_round_settle_nothing(store: ReviewStore) -> None:
    round_id, ids = started(store)
    vote_all(store, bob=["harmful", "harmful"], eve=["harmful", "harmful"], joe=["harmful", "acceptable"])
    assert states(store) == {"pending": 2}
    reveal_round(store, round_id, "ann")
    assert states(store) == {"reviewed": 2} and [store.get(item)["label"] for item in ids] == [None, None]
    for task, person in (("review", "zoe"), ("adjudicate", "zoe")):
        assert store.claim(person, task=task, role="owner").reason == "empty"
    with pytest.raises(WrongStateError):
        store.mark_exported(ids, "ann", "0" * 64)


def test_a_second_reveal_changes_nothing(store: ReviewStore) -> None:
    round_id, ids = started(store)
    vote_all(store, bob=["harmful", "harmful"])
    first = reveal_round(store, round_id, "ann")
    rows = len(store.get(ids[0])["history"])
    assert reveal_round(store, round_id, "eve") == first | {"mine": 0} | {"entries": first["entries"]}
    assert len(store.get(ids[0])["history"]) == rows and not verify(store.engine).problems


def test_a_late_vote_is_refused(store: ReviewStore) -> None:
    """One that was claimed in time: nobody can vote after seeing the votes."""
    round_id, ids = started(store, 1)
    vote_all(store, bob=["harmful"])
    late = claimed(store.claim("eve"))
    reveal_round(store, round_id, "ann")
    with pytest.raises(RoundClosedError):
        store.judge(late.id, late.token, "eve", verdict())
    with pytest.raises(LeaseLostError):
        store.skip(late.id, late.token, "eve")
    assert store.claim("eve").reason == "empty" and len(store.votes("harm")) == 1
    assert store.get(ids[0])["claim"] is None


def test_a_guideline_that_changes_during_a_round(store: ReviewStore) -> None:
    """Votes cite the version that was claimed, and the round's agreement stays as it was when people voted."""
    round_id, _ = started(store, 1)
    judge_next(store, "bob", "harmful", rule="H1")
    sharper = (Rule("H1", {"en": "Insults"}, {"en": "Not one."}, {"en": hash_rule("Insults", "Not one.")}), HARM.rules[1])
    store.add_guideline(replace(HARM, rules=sharper), "ann")
    judge_next(store, "eve", "harmful", rule="H2")
    store.add_guideline(HARM, "ann")
    revealed = reveal_round(store, round_id, "ann")
    assert [vote["version"] for vote in revealed["entries"][0]["votes"]] == [1, 2] and revealed["version"] == 1
    assert revealed["agreement"]["votes"] == 2 and revealed["agreement"]["agreement"]["value"] == 1.0
    assert revealed["agreement"]["confused_rules"] == []  # they are of two texts of H1


def test_a_repeated_vote_after_the_reveal_gets_its_answer(store: ReviewStore) -> None:
    round_id, _ = started(store, 1)
    item, vote = claimed(store.claim("bob")), verdict("harmful")
    answer = store.judge(item.id, item.token, "bob", vote)
    reveal_round(store, round_id, "ann")
    assert store.judge(item.id, item.token, "bob", vote) == answer


def test_items_without_votes_return_to_the_queue(store: ReviewStore) -> None:
    round_id, ids = started(store)
    judge_next(store, "bob", "harmful")
    held = claimed(store.claim("eve"))
    held = held if held.id == ids[1] else None
    detail = reveal_round(store, round_id, "ann")
    assert [entry["id"] for entry in detail["entries"]] == ids[:1] and detail["items"] == 1
    assert store.get(ids[1])["round"] is None and states(store) == {"pending": 1, "reviewed": 1}
    assert claimed(store.claim("joe")).id == ids[1] if held is None else True
    with pytest.raises(NotFoundError):
        add_comment(store, round_id, ids[1], "eve", "c1", "Why?")
    assert not verify(store.engine).problems


def test_a_round_takes_items_that_wait(store: ReviewStore) -> None:
    ids = add_texts(store, *(f"text {index}" for index in range(6)))
    store.add_guideline(BETTER, "ann")
    drawn = open_round(store, "drawn", "harm", "ann", count=3)
    assert drawn["items"] == 3 and states(store) == {"pending": 6}
    free = [item for item in ids if store.get(item)["round"] is None]
    judged, _ = judge_next(store, "bob")
    assert judged.round == drawn["id"]
    with pytest.raises(UserError, match=r"count=4 is too many: .*: 3; choose fewer"):
        open_round(store, "second", "harm", "ann", count=4)
    for item in (judged.id, "none"):
        with pytest.raises(UserError, match=r"not available|there is no item"):
            open_round(store, "second", "harm", "ann", ids=[item, free[0]])
    with pytest.raises(WrongStateError):
        open_round(store, "second", "better", "ann", ids=free[:1])
    with pytest.raises(NotFoundError):
        open_round(store, "second", "none", "ann", count=1)
    assert [one["name"] for one in list_rounds(store, "bob")] == ["drawn"]
    assert open_round(store, "second", "harm", "ann", ids=[*free, *free])["items"] == 3
    assert [one["mine"] for one in list_rounds(store, "bob")] == [0, 1]


@pytest.mark.parametrize(
    ("name", "choice", "message"),
    [
        (" ", {"count": 1}, "needs a name"),
        ("x" * 201, {"count": 1}, "201 characters"),
        ("\x00", {"count": 1}, "NUL"),
        ("round", {}, "has 0 items"),
        ("round", {"count": -1}, "has -1 items"),
        ("round", {"count": MAX_ITEMS + 1}, "has 501 items"),
        ("round", {"count": 1, "ids": ["a"]}, "name 1 to 500"),
        ("first", {"count": 1}, "belongs to another"),
    ],
    ids=["empty", "long", "nul", "none", "negative", "many", "both", "taken"],
)
def test_a_round_that_cannot_be(store: ReviewStore, name: str, choice: dict, message: str) -> None:
    started(store)
    with pytest.raises(UserError, match=message):
        open_round(store, name, "harm", "ann", **choice)
    assert len(list_rounds(store, "ann")) == 1


def test_comments_wait_for_the_reveal_and_keep_any_text(store: ReviewStore) -> None:
    round_id, ids = started(store, 1)
    vote_all(store, bob=["harmful"])
    with pytest.raises(WrongStateError, match="after the reveal"):
        add_comment(store, round_id, ids[0], "bob", "c1", "too early")
    reveal_round(store, round_id, "ann")
    hostile = "<script>alert(1)</script> \u202e'; DROP TABLE comments; -- {{7*7}} \U0001f600\u0007\r\n" + "x" * 3000
    add_comment(store, round_id, ids[0], "bob", "c1", hostile)
    assert read_round(store, round_id, "ann")["entries"][0]["comments"][0]["text"] == hostile
    for text, message in (
        ("", "empty"),
        (" \n", "empty"),
        ("a\x00b", "NUL"),
        ("\ud800", "surrogate"),
        ("x" * 4001, "4,001"),
    ):
        with pytest.raises(UserError, match=message):
            add_comment(store, round_id, ids[0], "bob", "c2", text)
    with pytest.raises(UserError, match=r"id='\.\./x' is invalid"):
        add_comment(store, round_id, ids[0], "bob", "../x", "text")
    for author, text in (("bob", "other"), ("eve", hostile)):
        with pytest.raises(ConflictError):
            add_comment(store, round_id, ids[0], author, "c1", text)
    for missing in ((round_id, "none"), ("none", ids[0]), ("\x00", ids[0])):
        with pytest.raises(NotFoundError):
            add_comment(store, *missing, "bob", "c3", "text")
    assert not verify(store.engine).problems


def test_a_round_that_is_not_there(store: ReviewStore) -> None:
    for round_id in ("none", "", "\x00", "\ud800", "a/b"):
        for function in (read_round, reveal_round):
            with pytest.raises(NotFoundError):
                function(store, round_id, "ann")


def test_gold_items_join_no_round_and_escalating_is_refused(store: ReviewStore) -> None:
    (gold,) = add_texts(store, "gold", expected=ExpectedVerdict("harmful"))
    with pytest.raises(WrongStateError, match="not available"):
        open_round(store, "first", "harm", "ann", ids=[gold])
    started(store, 1)
    item = claimed(store.claim("bob"))
    with pytest.raises(WrongStateError, match="open calibration round"):
        store.escalate(item.id, item.token, "bob", "hm")
    store.skip(item.id, item.token, "bob")
    assert store.claim("bob").item is None and claimed(store.claim("eve")).id == item.id
