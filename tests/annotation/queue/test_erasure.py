"""Erasing the texts of items: nothing of them stays, the figures do, and the store is still what its log says."""

import re
from typing import Any

import pytest
import sqlalchemy as sa

from lmcraft.annotation.agreement.calibration import add_comment, open_round, reveal_round
from lmcraft.annotation.audit_log.log import append, audit, audit_head
from lmcraft.annotation.audit_log.verification import verify
from lmcraft.annotation.queue.erasure import erase_items_before, erase_items_of
from lmcraft.annotation.queue.reports import report_item
from lmcraft.annotation.queue.senders import count_unattributed, items_of
from lmcraft.annotation.records import LeaseLostError, NewItem
from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import metadata
from tests.annotation.samples import HARM, add_texts, claimed, judge_next, states, verdict

MARKER = "zebra-7731"
SENT = {"source": "server", "sender": "ada", "messages": [{"role": "user", "content": f"ask {MARKER}"}]}


def rows_with(store: ReviewStore, text: str) -> list[str]:
    """The tables in which a text occurs."""
    with store.reading() as (connection, _):
        return [
            table.name
            for table in metadata.sorted_tables
            if any(text in str(value) for row in connection.execute(sa.select(table)) for value in row)
        ]


def add_sent(store: ReviewStore, *texts: str, **fields: Any) -> list[str]:
    return add_texts(store, *texts, **SENT | {"decision": {"note": MARKER}, "origin": {"file": MARKER}} | fields)


def test_whatever_people_wrote_about_an_item_is_erased(store: ReviewStore) -> None:
    add_sent(store, f"first {MARKER}", f"second {MARKER}", f"third {MARKER}")
    texts = {"comment": MARKER, "correction": f"better {MARKER}", "contains": [MARKER], "excludes": [f"no{MARKER}"]}
    for person in ("bo", "cy"):
        judge_next(store, person, "harmful", **texts)
    item = claimed(store.claim("bo"))
    store.skip(item.id, item.token, "bo", MARKER)
    item = claimed(store.claim("cy"))
    store.skip(item.id, item.token, "cy", MARKER)
    store.requeue(item.id, "owner", MARKER)
    fourth = add_sent(store, f"fourth {MARKER}")
    calibration = open_round(store, "round", "harm", "owner", ids=fourth)
    item, _ = judge_next(store, "bo", comment=MARKER)
    reveal_round(store, calibration["id"], "owner")
    add_comment(store, calibration["id"], item.id, "bo", "c1", MARKER)
    report_item(store, NewItem(guideline="harm", answers=[f"reported {MARKER}"], source="report"), "ada", "harm", MARKER)
    votes, held = len(store.votes("harm")), claimed(store.claim("dee"))

    assert erase_items_of(store, "ada", "lmcraft") == 5
    assert rows_with(store, MARKER) == []
    assert verify(store.engine).problems == ()
    assert verify(store.engine).num_rewritten > 0
    assert states(store) == {"erased": 5}
    assert len(store.votes("harm")) == votes
    assert list(store.settled()) == []
    assert store.claim("eve").reason == "empty"
    with pytest.raises(LeaseLostError):
        store.judge(held.id, held.token, "dee", verdict())
    assert store.get(held.id)["content"]["answers"] == [""]
    assert erase_items_of(store, "ada", "lmcraft") == 0


def test_a_text_that_another_key_or_a_file_has_stays(store: ReviewStore) -> None:
    (shared,) = add_sent(store, "shared")
    add_sent(store, "shared", sender="ben")
    (of_file,) = add_texts(store, "of a file")
    add_texts(store, "of a file", source="server", sender="ada")
    assert erase_items_of(store, "ada", "lmcraft") == 0
    assert store.get(shared)["state"] == store.get(of_file)["state"] == "pending"
    assert erase_items_of(store, "ben", "lmcraft") == 1
    assert states(store) == {"erased": 1, "pending": 1}


def report(store: ReviewStore, reporter: str, comment: str) -> str:
    """Report the same text."""
    store.add_guideline(HARM, "ann")
    return report_item(store, NewItem(guideline="harm", answers=["shared"], source="report"), reporter, "harm", comment)


def test_a_report_is_erased_although_its_text_stays(store: ReviewStore) -> None:
    item = report(store, "ada", MARKER)
    report(store, "ben", "comment of ben")
    (of_file,) = add_texts(store, "of a file")
    report_item(store, NewItem(guideline="harm", answers=["of a file"], source="report"), "ada", "harm", MARKER)
    assert erase_items_of(store, "ada", "lmcraft") == 0
    assert rows_with(store, MARKER) == []
    assert rows_with(store, "comment of ben") == ["audit", "reports"]
    assert sorted(entry["comment"] for entry in store.get(item)["reports"]) == ["", "comment of ben"]
    assert (verify(store.engine).problems, verify(store.engine).num_rewritten) == ((), 2)
    with store.reading() as (connection, _):
        assert (items_of(connection, "ada"), items_of(connection, "ben")) == ([], [item])
    report(store, "ada", "once more")
    assert rows_with(store, "once more") == ["audit", "reports"]
    assert erase_items_of(store, "ada", "lmcraft") == 0
    assert erase_items_of(store, "ben", "lmcraft") == 1, "nobody else has the text any more"
    assert store.get(of_file)["state"] == "pending"
    assert rows_with(store, "once more") == rows_with(store, "comment of ben") == []
    assert verify(store.engine).problems == ()


def test_a_report_after_an_erasure_counts(store: ReviewStore) -> None:
    item = report(store, "ada", MARKER)
    assert erase_items_of(store, "ada", "lmcraft") == 1
    assert report(store, "ada", "again") == item
    assert store.get(item)["state"] == "pending"
    assert [entry["comment"] for entry in store.get(item)["reports"]] == ["", "again"]
    assert erase_items_of(store, "ada", "lmcraft") == 1
    assert verify(store.engine).problems == ()


def test_a_text_that_comes_again_waits_again(store: ReviewStore) -> None:
    (item,) = add_sent(store, f"again {MARKER}")
    judge_next(store, "bo")
    erase_items_of(store, "ada", "lmcraft")
    add_sent(store, f"again {MARKER}")
    full = store.get(item)
    assert (full["state"], full["content"]["answers"]) == ("reviewed", [f"again {MARKER}"])
    assert verify(store.engine).problems == ()
    judge_next(store, "cy", comment=MARKER)
    assert erase_items_of(store, "ada", "lmcraft") == 1
    assert rows_with(store, MARKER) == []
    assert verify(store.engine).problems == ()


def test_the_items_of_users_are_erased_by_age(store: ReviewStore) -> None:
    add_sent(store, *(f"text {n}" for n in range(120)))
    add_texts(store, "of a file")
    with store.reading() as (_, now):
        pass
    assert erase_items_before(store, now - 60, "lmcraft") == 0
    assert erase_items_before(store, now + 60, "lmcraft") == 120
    assert states(store) == {"pending": 1, "erased": 120}
    with store.reading() as (connection, _):
        assert items_of(connection, "ada") == []


def test_a_gold_item_that_is_erased_is_no_gold_any_more(store: ReviewStore) -> None:
    from lmcraft.annotation.agreement.gold import ExpectedVerdict

    add_sent(store, "gold", expected=ExpectedVerdict("harmful", "H1"))
    assert states(store) == {"gold": 1}
    assert erase_items_of(store, "ada", "lmcraft") == 1
    assert states(store) == {"erased": 1}
    assert verify(store.engine).problems == ()


def test_items_of_an_older_version_have_no_sender(store: ReviewStore) -> None:
    add_sent(store, "old", sender=None)
    with store.reading() as (connection, _):
        assert count_unattributed(connection) == 1
    assert erase_items_of(store, "ada", "lmcraft") == 0


@pytest.mark.parametrize("change", ["payload", "without the log"])
def test_an_edit_is_not_mistaken_for_an_erasure(store: ReviewStore, change: str) -> None:
    (item,) = add_sent(store, "text")
    judge_next(store, "bo", "harmful", comment="because")
    if change == "payload":
        erase_items_of(store, "ada", "lmcraft")
    with store.writing() as (connection, now):
        row = connection.execute(sa.select(audit).where(audit.c.event == "verdict")).one()
        edited = row.payload.replace("harmful", "fine").replace("because", "")
        connection.execute(audit.update().where(audit.c.seq == row.seq).values(payload=edited))
    (problem,) = verify(store.engine).problems
    assert problem.seq == row.seq
    assert re.search("edited", problem.text)
    if change == "without the log":
        with store.writing() as (connection, now):
            append(connection, "erased", "mallory", item, {"rewritten": {str(row.seq): "0" * 64}, "broken": None}, now)
            assert connection.execute(sa.select(audit_head.c.seq)).scalar_one() > row.seq
        assert verify(store.engine).problems[0].seq == row.seq
