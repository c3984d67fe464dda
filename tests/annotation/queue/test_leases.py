"""Who holds an item: clocks that jump, people who come back late, and many at once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lmcraft import database
from lmcraft.annotation.records import LeaseLostError
from lmcraft.annotation.store import ReviewStore
from tests.annotation.samples import HARM, add_texts, claimed, judge_next, verdict
from tests.clock import set_clock

LEASE = 600.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of a store in a file, which a test can change."""
    now = [1_800_000_000.0]
    set_clock(monkeypatch, database, time=lambda: now[0])
    return now


@pytest.fixture
def file_store(tmp_path: Path, clock: list[float]) -> ReviewStore:
    return ReviewStore.open(tmp_path / "reviews.sqlite")


def test_an_item_can_be_claimed_by_others_when_its_lease_has_ended(file_store: ReviewStore, clock: list[float]) -> None:
    add_texts(file_store, "Hello.")
    bob = claimed(file_store.claim("bob"))
    assert (bob.expires, bob.seconds) == (clock[0] + LEASE, LEASE)
    clock[0] += LEASE - 1
    assert file_store.claim("eve").item is None
    file_store.renew(bob.token, "bob")
    clock[0] += LEASE - 1
    assert file_store.claim("eve").item is None
    clock[0] += 2
    assert file_store.counts()["claimed"] == 0 and file_store.find()[0][0].holder == ""
    eve = claimed(file_store.claim("eve"))
    for call in (
        lambda: file_store.renew(bob.token, "bob"),
        lambda: file_store.judge(bob.id, bob.token, "bob", verdict()),
        lambda: file_store.skip(bob.id, bob.token, "bob"),
        lambda: file_store.escalate(bob.id, bob.token, "bob"),
        lambda: file_store.judge(bob.id, eve.token, "bob", verdict()),
    ):
        with pytest.raises(LeaseLostError):
            call()
    assert file_store.judge(eve.id, eve.token, "eve", verdict()).num_verdicts == 1


def test_a_verdict_that_comes_late_counts_if_nobody_took_the_item(file_store: ReviewStore, clock: list[float]) -> None:
    add_texts(file_store, "Hello.")
    bob = claimed(file_store.claim("bob"))
    clock[0] += 100 * LEASE
    assert claimed(file_store.claim("bob")).token == bob.token
    clock[0] += 100 * LEASE
    assert file_store.judge(bob.id, bob.token, "bob", verdict()).num_verdicts == 1


def test_a_clock_that_goes_back_holds_an_item_no_longer_than_a_lease(file_store: ReviewStore, clock: list[float]) -> None:
    add_texts(file_store, "Hello.")
    bob = claimed(file_store.claim("bob"))
    clock[0] -= 1_000_000.0
    assert file_store.claim("eve").item is None  # bob still works on it
    clock[0] += LEASE - 1
    assert file_store.claim("eve").item is None
    clock[0] += 1
    assert claimed(file_store.claim("eve")).id == bob.id


def test_the_exposure_cap_ends_with_the_day_in_utc(file_store: ReviewStore, clock: list[float]) -> None:
    add_texts(file_store, *"abc", guideline=replace(HARM, sensitive=True))
    file_store.set_setting("exposure_cap", 1, "ann")
    judge_next(file_store, "bob")
    assert file_store.claim("bob").reason == "exposure_cap"
    clock[0] += 24 * 3600.0
    judge_next(file_store, "bob")
    assert file_store.claim("bob").reason == "exposure_cap"


def test_a_person_holds_one_item_of_each_guideline_and_task(store: ReviewStore) -> None:
    add_texts(store, "one", "two")
    add_texts(store, "three", guideline=replace(HARM, name="tone"))
    first, other = claimed(store.claim("bob", guideline="harm")), claimed(store.claim("bob", guideline="tone"))
    assert (first.answers, other.answers) == (["one"], ["three"])
    assert claimed(store.claim("bob", guideline="harm")).token == first.token
    assert claimed(store.claim("bob")).token in (first.token, other.token)
    assert claimed(store.claim("eve")).answers == ["two"] and store.claim("joe").item is None
    store.release_item(first.id)
    with pytest.raises(LeaseLostError):
        store.renew(first.token, "bob")


def test_people_at_once_never_hold_the_same_item(location: str) -> None:
    """Each thread has a store of its own, as each of several servers would."""
    first = ReviewStore.open(location)
    people = [f"person {n}" for n in range(8)]
    add_texts(first, *(f"item {n}" for n in range(12)))
    holders: Counter[str] = Counter()

    def work(person: str) -> int:
        store, num_judged = ReviewStore.open(location), 0
        while (item := store.claim(person).item) is not None:
            holders[item.id] += 1
            assert holders[item.id] == 1, "two people hold an item"
            new = verdict("acceptable" if len(person) % 2 else "harmful")
            holders[item.id] -= 1
            for _ in range(2):  # the client repeats it
                assert store.judge(item.id, item.token, person, new).num_verdicts in (1, 2)
            num_judged += 1
        store.close()
        return num_judged

    with ThreadPoolExecutor(len(people)) as pool:
        total = sum(pool.map(work, people))
    left = sum(judge_next(first, f"late {n}")[1].num_verdicts == 2 for n in range(24 - total))
    assert total + left == 24 == len(first.votes("harm"))
    assert {item.num_verdicts for item in first.find()[0]} == {2} and first.counts()["claimed"] == 0
    first.close()


def test_threads_that_judge_one_claim_record_one_verdict(store: ReviewStore) -> None:
    add_texts(store, "Hello.")
    item = claimed(store.claim("bob"))
    new = [verdict() for _ in range(4)]

    def judge(n: int) -> bool:
        try:
            return store.judge(item.id, item.token, "bob", new[n % 4]).num_verdicts == 1
        except LeaseLostError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(judge, range(8))) == 2  # one verdict, sent twice
    assert len(store.votes("harm")) == 1
