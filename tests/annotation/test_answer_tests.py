"""Texts that an answer must and must not contain."""

import pytest

from lmcraft.annotation.answer_tests import as_column, check_answer_tests, consistent_tests
from lmcraft.annotation.store import ReviewStore
from lmcraft.errors import UserError
from tests.annotation.samples import add_texts, claimed, verdict


@pytest.mark.parametrize(
    ("contains", "excludes", "correction", "rule"),
    [
        (["same"], ["same"], "", "both"),
        (["Call a  DOCTOR"], ["doctor"], "", "both"),
        (["医生"], ["炸弹", "医生"], "", "both"),
        (["doctor"], [], "Rest.", "lacks"),
        (["a", "doctor"], [], "A rest.", "lacks"),
        ([], ["idiot"], "You IDIOT.", "has"),
        ([], ["２"], "1 2 3", "has"),
    ],
)
def test_what_no_answer_can_meet_is_refused(contains: list[str], excludes: list[str], correction: str, rule: str) -> None:
    with pytest.raises(UserError) as error:
        check_answer_tests(contains, excludes, correction)
    assert (error.value.code, error.value.values["rule"]) == ("contradictory_texts", rule)


@pytest.mark.parametrize(
    ("contains", "excludes", "correction"),
    [
        ([], [], "Any."),
        (["doctor"], ["call a doctor"], ""),
        (["A  doctor"], ["idiot"], "Ask a\nDoctor."),
    ],
)
def test_what_an_answer_can_meet_is_taken(contains: list[str], excludes: list[str], correction: str) -> None:
    check_answer_tests(contains, excludes, correction)
    assert consistent_tests(contains, excludes, correction) == (contains, excludes)


def test_texts_of_several_reviewers_that_clash_are_left_out() -> None:
    assert consistent_tests(["a doctor", "rest"], ["doctor", "idiot"], "") == (["rest"], ["idiot"])
    assert consistent_tests(["rest", "tea"], ["idiot", "sleep"], "Rest, and sleep.") == (["rest"], ["idiot"])


def test_a_text_between_slashes_stays_a_text() -> None:
    assert as_column(["/etc/", "/", "a/", "/[/"]) == [{"text": "/etc/"}, {"text": "/"}, "a/", {"text": "/[/"}]


def test_a_verdict_that_contradicts_itself_is_not_recorded(store: ReviewStore) -> None:
    add_texts(store, "a text")
    item = claimed(store.claim("bob"))
    with pytest.raises(UserError, match="no answer contains 'same' without 'same'"):
        store.judge(item.id, item.token, "bob", verdict("harmful", contains=["same"], excludes=["same"]))
    assert store.get(item.id)["verdicts"] == []
    store.judge(item.id, item.token, "bob", verdict("harmful", contains=["same"]))
