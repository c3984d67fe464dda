"""The list of feedback, and the tally of picks."""

from typing import Any

import pytest

from lmcraft.server.conversations.feedback import count_feedback, list_feedback
from lmcraft.server.conversations.store import NotFoundError, Store
from lmcraft.statistics.proportions import proportion


def answer(store: Store, conversation: str, parent: str, content: str, model: str, **fields: Any) -> str:
    message = store.add("ann", conversation, role="assistant", content=content, parent=parent, model=model, **fields)
    return str(message["id"])


def ask(store: Store, owner: str = "ann", question: str = "why?") -> tuple[str, str]:
    conversation = store.create(owner, title="Sky")["id"]
    return conversation, store.add(owner, conversation, role="user", content=question, parent=None)["id"]


def test_every_kind_is_listed_with_its_texts_newest_first(store: Store) -> None:
    conversation, question = ask(store)
    left, right = (
        answer(store, conversation, question, text, model) for text, model in (("left", "base"), ("right", "tuned"))
    )
    store.rate("ann", left, -1, "wrong")
    preference = store.prefer("ann", right, left, "shorter")
    edit = answer(store, conversation, question, "better", "base", edited_from=left)
    items, has_more = list_feedback(store, "ann")
    assert not has_more and {item["kind"] for item in items} == {"rating", "pick", "edit"}
    assert all(
        item["prompt"] == "why?" and item["title"] == "Sky" and item["conversation"] == conversation for item in items
    )
    by_kind = {item["kind"]: item for item in items}
    rating, pick = by_kind["rating"], by_kind["pick"]
    assert (rating["id"], rating["rating"], rating["reason"], rating["answer"]) == (left, -1, "wrong", "left")
    assert (pick["id"], pick["answer"], pick["model"]) == (preference["id"], "right", "tuned")
    assert (pick["other"], pick["other_model"], pick["reason"]) == ("left", "base", "shorter")
    assert (by_kind["edit"]["id"], by_kind["edit"]["answer"], by_kind["edit"]["other"]) == (edit, "better", "left")
    assert list_feedback(store, "bob") == ([], False)
    counts = count_feedback(store, "ann")
    assert {name: counts[name] for name in ("good", "bad", "picks", "edits")} == {
        "good": 0,
        "bad": 1,
        "picks": 1,
        "edits": 1,
    }


def test_pages_and_kinds(store: Store) -> None:
    conversation, question = ask(store)
    ids = [answer(store, conversation, question, f"{n}", "base") for n in range(7)]
    for n, message in enumerate(ids):
        store.rate("ann", message, 1 if n % 2 else -1)
    pages = [list_feedback(store, "ann", limit=3, offset=offset) for offset in (0, 3, 6)]
    assert [len(items) for items, _ in pages] == [3, 3, 1] and [more for _, more in pages] == [True, True, False]
    assert sorted(item["id"] for items, _ in pages for item in items) == sorted(ids)
    assert list_feedback(store, "ann", kind="pick") == ([], False)


def test_the_tally_joins_both_directions_and_has_an_interval(store: Store) -> None:
    for n in range(10):
        conversation, question = ask(store)
        base, tuned = (answer(store, conversation, question, model, model) for model in ("base", "tuned"))
        store.prefer("ann", *((tuned, base) if n < 8 else (base, tuned)))
    (entry,) = count_feedback(store, "ann")["models"]
    expected = proportion(2, 10)
    assert (entry["first"], entry["picked_first"], entry["picked_second"]) == ("base", 2, 8)
    assert (entry["share"], entry["low"], entry["high"]) == (0.2, pytest.approx(expected.low), pytest.approx(expected.high))


def test_picks_between_answers_of_one_model_have_no_winner(store: Store) -> None:
    conversation, question = ask(store)
    first, second = (answer(store, conversation, question, text, "base") for text in "ab")
    store.prefer("ann", first, second)
    (entry,) = count_feedback(store, "ann")["models"]
    assert entry["share"] is None and (entry["picked_first"], entry["picked_second"]) == (1, 0)


def test_a_preference_is_deleted_by_its_owner_only(store: Store) -> None:
    conversation, question = ask(store)
    first, second = (answer(store, conversation, question, text, "base") for text in "ab")
    preference = store.prefer("ann", first, second)["id"]
    with pytest.raises(NotFoundError):
        store.delete_preference("bob", preference)
    store.delete_preference("ann", preference)
    assert list_feedback(store, "ann") == ([], False)
    with pytest.raises(NotFoundError):
        store.delete_preference("ann", preference)
