"""Items and verdicts that no store should take, and texts that every store must survive."""

from typing import Any

import pytest

from lmcraft.annotation.agreement.gold import ExpectedVerdict
from lmcraft.annotation.content import MAX_CONTENT_CHARS, MAX_MESSAGES, MAX_TEXT_CHARS
from lmcraft.annotation.records import NewItem, NotFoundError
from lmcraft.annotation.store import ReviewStore
from lmcraft.errors import UserError
from tests.annotation.samples import BETTER, HARM, add_texts, claimed, states, verdict

NESTED: Any = {}
for _ in range(40):
    NESTED = {"deeper": NESTED}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"answers": ["x" * (MAX_TEXT_CHARS + 1)]}, "answer has 1,000,001 characters; give at most 1,000,000"),
        ({"answers": []}, "has 0 answers; a label needs 1"),
        ({"answers": ["a", "b"]}, "has 2 answers; a label needs 1"),
        ({"answers": [7]}, "answer of an item is int; give a text"),
        ({"answers": "a text"}, "answers of an item is str; give a list"),
        ({"messages": [{"role": "user"}]}, 'needs the fields "role" and "content"'),
        ({"messages": [{"role": "u" * 33, "content": ""}]}, "role has 33 characters"),
        ({"messages": [{"role": "user", "content": "x"}] * (MAX_MESSAGES + 1)}, "1,001 messages; give at most"),
        ({"messages": [{"role": "user", "content": "x" * 700_000}] * 3}, f"characters; give at most {MAX_CONTENT_CHARS:,}"),
        ({"source": "rumor"}, "source='rumor' is unknown; use one of server"),
        ({"subject": "song"}, "subject='song' is unknown"),
        ({"severity": 1.5}, "severity=1.5 is invalid; use a number between 0 and 1"),
        ({"uncertainty": float("nan")}, "uncertainty=nan is invalid"),
        ({"traffic": 0}, "traffic=0 is invalid"),
        ({"traffic": True}, "traffic=True is invalid"),
        ({"decision": NESTED}, "decision of an item is nested more than 16 levels deep"),
        ({"origin": {"x": object()}}, "origin of an item is not JSON"),
        ({"decision": {"x": "y" * 1_000_001}}, "characters of JSON; give at most"),
        ({"expected": ExpectedVerdict("evil")}, "evil"),
        ({"guideline": "none"}, "there is no guideline 'none'"),
        ({"guideline": "\ud800"}, "there is no guideline"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_one_invalid_item_keeps_all_others_out(fields: dict[str, Any], message: str, store: ReviewStore) -> None:
    store.add_guideline(HARM, "ann")
    valid = {"guideline": "harm", "answers": ["fine"], "source": "file"}
    new = [NewItem(**valid), NewItem(**valid | fields)]
    with pytest.raises(UserError, match=message) as raised:
        store.add(new, "ann")
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 300
    assert store.counts()["total"] == 0


def test_hostile_texts_come_back_as_they_were(store: ReviewStore) -> None:
    texts = [
        "",
        " ",
        "مرحبا \u202e abc",
        "\x1b[31m\r\n\x85\u2028",
        "'; DROP TABLE items; --",
        '{"a": "\\u0000"}',
        "x" * MAX_TEXT_CHARS,
    ]
    ids = add_texts(store, *texts)
    assert [store.get(item)["content"]["answers"][0] for item in ids] == texts
    (replaced,) = add_texts(store, "a\0b\ud800c", decision={"\0": ["\udfff"]}, messages=[{"role": "u\0", "content": "\0"}])
    full = store.get(replaced)
    assert full["content"]["answers"] == ["a\ufffdb\ufffdc"] and full["decision"] == {"\ufffd": ["\ufffd"]}
    assert full["content"]["messages"] == [{"role": "u\ufffd", "content": "\ufffd"}]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": ""}, "id='' is invalid"),
        ({"id": "a/b"}, "id='a/b' is invalid"),
        ({"id": "x" * 65}, "is invalid; use up to 64 letters"),
        ({"label": "\0"}, "label has NUL"),
        ({"comment": "x" * 10_001}, "comment has 10,001 characters; give at most 10,000"),
        ({"comment": "\ud800"}, "comment has half of a surrogate pair"),
        ({"correction": "\0"}, "correction has NUL"),
        ({"contains": ["x"] * 51}, "contains needs a list of at most 50 texts"),
        ({"excludes": ["x" * 2_001]}, "excludes has 2,001 characters"),
        ({"excludes": "text"}, "excludes needs a list"),
        ({"seconds": -1.0}, "seconds=-1.0 is invalid"),
        ({"seconds": float("inf")}, "seconds=inf is invalid"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_invalid_verdict_leaves_the_claim(fields: dict[str, Any], message: str, store: ReviewStore) -> None:
    add_texts(store, "Hello.")
    item = claimed(store.claim("bob"))
    with pytest.raises(UserError, match=message):
        store.judge(item.id, item.token, "bob", verdict(**fields))
    assert states(store) == {"pending": 1}
    assert store.judge(item.id, item.token, "bob", verdict(contains=["", " ", "kept"])).num_verdicts == 1
    assert store.get(item.id)["verdicts"][0]["contains"] == ["kept"]


@pytest.mark.parametrize(
    "text", ["", "\0", "\ud800", "' OR 1=1", "x" * 100_000, "../.."], ids=["empty", "nul", "half", "sql", "long", "path"]
)
def test_hostile_ids_names_and_tokens_are_refused_in_one_sentence(text: str, store: ReviewStore) -> None:
    (item,) = add_texts(store, "Hello.")
    token = claimed(store.claim("bob")).token
    calls = [
        lambda: store.get(text),
        lambda: store.judge(text, token, "bob", verdict()),
        lambda: store.judge(item, text, "bob", verdict()),
        lambda: store.skip(item, text, "bob"),
        lambda: store.renew(text, "bob"),
        lambda: store.release_item(text),
        lambda: store.requeue(text, "ann"),
        lambda: store.mark_exported([text], "ann", ""),
        lambda: store.guideline(text),
        lambda: store.setting(text),
        lambda: store.set_setting(text, 1, "ann"),
    ]
    calls += [lambda: store.claim(text)] if text in ("", "\0", "\ud800") else []
    for call in calls:
        with pytest.raises(UserError) as raised:
            call()
        assert "\n" not in str(raised.value) and len(str(raised.value)) < 300
    store.release(text, "bob")
    assert store.counts()["claimed"] == 1


def test_thousands_of_items_at_once_with_repetitions(store: ReviewStore) -> None:
    store.add_guideline(HARM, "ann")
    new = [NewItem(guideline="harm", answers=[str(n % 1500)], source="file", traffic=2) for n in range(2000)]
    added = store.add(new, "ann")
    assert (added.new, added.repeated, len(added.ids)) == (1500, 500, 2000)
    again = store.add(new[:10], "ann")
    assert (again.new, again.repeated) == (0, 10)
    page, _ = store.find(limit=1000)
    assert [item.traffic for item in page[:10]] == [6] * 10 and store.counts()["total"] == 1500
    assert store.add([], "ann").ids == []


def test_the_same_texts_under_another_guideline_or_in_another_order_are_other_items(store: ReviewStore) -> None:
    store.add_guideline(HARM, "ann")
    store.add_guideline(BETTER, "ann")
    new = [NewItem(guideline="better", answers=answers, source="file") for answers in (["a", "b"], ["b", "a"], ["a\nb", ""])]
    assert store.add(new, "ann").new == 3


@pytest.mark.parametrize("value", [-1, float("nan"), 1.5, True, 10**9, "5"])
def test_settings_are_checked(value: Any, store: ReviewStore) -> None:
    with pytest.raises(UserError, match=r"exposure_cap=.* is invalid; use a number from 0 to"):
        store.set_setting("exposure_cap", value, "ann")
    assert store.setting("exposure_cap") == 200
    store.set_setting("exposure_cap", 0, "ann")
    assert store.setting("exposure_cap") == 0


def test_there_is_no_such_guideline(store: ReviewStore) -> None:
    with pytest.raises(NotFoundError, match="there is no guideline 'none'"):
        store.claim("bob", guideline="none")
    assert store.claim("bob").reason == "empty"
