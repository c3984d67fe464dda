"""Reports of the chat page's users."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmcraft.annotation.store import ReviewStore
from lmcraft.server.conversations.store import Store
from lmcraft.server.http.keys import Key, Keys
from tests.server.http.routes.review_app import KEYS, As, build_app, review_store

LIMITED = Keys([*KEYS, Key("lena", "f" * 64, requests_per_minute=2)])


@pytest.fixture
def reviews(tmp_path: Path) -> Iterator[ReviewStore]:
    with review_store(tmp_path) as store:
        yield store


@pytest.fixture
def chats(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "chats.sqlite")
    yield store
    store.close()


def save_chat(chats: Store, owner: str) -> dict[str, str]:
    """A saved chat with two answers to one question; the ids of the chat and the messages."""
    ids = {"chat": chats.create(owner, title="Secret title", system="Secret prompt")["id"]}
    parent = None
    for name, role, content, after in (
        ("question", "user", "Why?", ""),
        ("first", "assistant", "So.", "question"),
        ("second", "assistant", "Thus.", "question"),
        ("again", "user", "And how?", "second"),
        ("third", "assistant", "Like this.", "again"),
    ):
        parent = ids.get(after)
        ids[name] = chats.add(owner, ids["chat"], role=role, content=content, parent=parent)["id"]
    return ids


def report(person: As, ids: dict[str, str], message: str = "third", **fields: Any) -> Any:
    body = {"conversation": ids["chat"], "message": ids.get(message, message), "reason": "harmful", **fields}
    return person.post("/api/reports", json=body)


def test_an_answer_comes_with_its_branch_and_nothing_else(reviews: ReviewStore, chats: Store) -> None:
    app = build_app(reviews, chats)
    answer = report(As(app, "nora"), save_chat(chats, "nora"), comment="This hurts.")
    assert answer.status_code == 201
    item = reviews.get(answer.json()["id"])
    texts = [(message["role"], message["content"]) for message in item["content"]["messages"]]
    assert texts == [("user", "Why?"), ("assistant", "Thus."), ("user", "And how?")]
    assert (item["content"]["answers"], item["source"], item["guideline"]) == (["Like this."], "report", "harm")
    assert [(r["reason"], r["comment"]) for r in item["reports"]] == [("harmful", "This hurts.")]
    assert "nora" not in str(item) and "Secret" not in str(item)


def test_each_person_counts_once(reviews: ReviewStore, chats: Store) -> None:
    app = build_app(reviews, chats)
    nora, rita = save_chat(chats, "nora"), save_chat(chats, "rita")
    ids = {report(As(app, "nora"), nora).json()["id"] for _ in range(3)}
    [item] = ids
    assert reviews.get(item)["traffic"] == 1
    assert report(As(app, "rita"), rita, reason="wrong").json()["id"] == item
    details = reviews.get(item)
    assert details["traffic"] == 2 and [r["reason"] for r in details["reports"]] == ["harmful", "wrong"]


@pytest.mark.parametrize(
    ("message", "fields", "status", "code"),
    [
        ("question", {}, 400, "invalid_value"),
        ("a" * 32, {}, 404, "not_found"),
        ("' OR '1'='1", {}, 404, "not_found"),
        ("third", {"conversation": "a" * 32}, 404, "not_found"),
        ("third", {"reason": "spam"}, 400, "invalid_value"),
        ("third", {"comment": "x" * 2001}, 400, "invalid_value"),
        ("third", {"comment": "\0"}, 400, "invalid_value"),
        ("third", {"comment": 5}, 400, "invalid_type"),
        ("third", {"source": "server"}, 400, "unknown_parameter"),
    ],
)
def test_what_cannot_be_reported(
    reviews: ReviewStore, chats: Store, message: str, fields: dict[str, Any], status: int, code: str
) -> None:
    answer = report(As(build_app(reviews, chats), "nora"), save_chat(chats, "nora"), message, **fields)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert reviews.counts()["total"] == 0


def test_chats_of_others_cannot_be_reported(reviews: ReviewStore, chats: Store) -> None:
    app, mine, theirs = build_app(reviews, chats), save_chat(chats, "nora"), save_chat(chats, "rita")
    for ids in (theirs, {**mine, "third": theirs["third"]}, {**theirs, "third": mine["third"]}):
        assert report(As(app, "nora"), ids).status_code == 404


def test_reports_count_toward_the_quota(reviews: ReviewStore, chats: Store) -> None:
    lena, ids = As(build_app(reviews, chats, LIMITED), "lena"), save_chat(chats, "lena")
    assert [report(lena, ids, message).status_code for message in ("first", "second", "third")] == [201, 201, 429]


def test_a_server_without_chats_or_reviews(reviews: ReviewStore, chats: Store) -> None:
    ids = save_chat(chats, "nora")
    for app, code in ((build_app(None, chats), "no_reviews"), (build_app(reviews, None), "no_store")):
        answer = report(As(app, "nora"), ids)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, code)
