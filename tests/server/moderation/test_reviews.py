"""The queue between the server and the store of reviews."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from lmcraft.annotation.records import NewItem, StoreError
from lmcraft.errors import UserError
from lmcraft.server.metrics import Metrics
from lmcraft.server.moderation import reviews
from lmcraft.server.moderation.reviews import FlaggedText, StoreQueue, user_message
from tests.server.moderation.flagged import decision, flagged


class FakeStore:
    """A store that keeps what is added, once it is open."""

    def __init__(self) -> None:
        self.items: list[NewItem] = []
        self.is_open = threading.Event()
        self.is_open.set()
        self.num_failures = 0

    def add(self, items: Sequence[NewItem], actor: str) -> None:
        self.is_open.wait(30)
        if self.num_failures:
            self.num_failures -= 1
            raise StoreError("the database is locked")
        if any("\0" in item.answers[0] for item in items):
            raise UserError("the text has NUL")
        if any(item.answers[0] == "bug" for item in items):
            raise ZeroDivisionError
        assert actor == "server"
        self.items += items


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def queue(store: FakeStore, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreQueue]:
    monkeypatch.setattr(reviews, "RETRY_SECONDS", 0.01)
    queue = StoreQueue(cast(Any, store), metrics)
    yield queue
    store.is_open.set()
    queue.close()


def count(metrics: Metrics, outcome: str) -> int:
    prefix = f'lmcraft:texts_for_review_total{{outcome="{outcome}"}} '
    return sum(int(float(line.removeprefix(prefix))) for line in metrics.render().splitlines() if line.startswith(prefix))


def texts(store: FakeStore) -> list[str]:
    return [item.answers[0] for item in store.items]


def test_what_is_added_is_kept(queue: StoreQueue, store: FakeStore, metrics: Metrics) -> None:
    chat = [user_message("Why?"), {"role": "assistant", "content": "So."}, user_message("How?")]
    queue.add(FlaggedText("answer", "Like this.", chat, decision(0.6, violence=0.8), "ada"))
    queue.add(flagged("How?", "prompt", chat))
    queue.add(flagged("a tool", "prompt", chat))
    queue.close()
    answer, prompt, tool = store.items
    assert (answer.source, answer.subject, answer.messages, answer.answers) == ("server", "answer", chat, ("Like this.",))
    assert answer.severity == 0.5 and answer.uncertainty == pytest.approx(0.8)
    assert answer.decision is not None and answer.decision["action"] == "review"
    assert prompt.messages == chat[:2] and tool.messages == []
    assert (count(metrics, "kept"), count(metrics, "lost")) == (3, 0)


def test_adding_does_not_wait_for_the_store(queue: StoreQueue, store: FakeStore, metrics: Metrics) -> None:
    store.is_open.clear()
    for n in range(reviews.MAX_WAITING + 5):
        queue.add(flagged(f"text {n}"))
    assert store.items == [] and count(metrics, "lost") == 5
    store.is_open.set()
    queue.close()
    assert texts(store) == [f"text {n}" for n in range(reviews.MAX_WAITING)]


def test_long_texts_that_wait_are_bounded(queue: StoreQueue, store: FakeStore, metrics: Metrics) -> None:
    store.is_open.clear()
    for n in range(100):
        queue.add(flagged(f"{n}" * 1_000_000))
    assert count(metrics, "lost") > 40
    store.is_open.set()


def test_a_failure_is_tried_again(queue: StoreQueue, store: FakeStore, metrics: Metrics) -> None:
    store.num_failures = 3
    queue.add(flagged("one"))
    queue.add(flagged("two"))
    while count(metrics, "kept") < 2:
        pass
    assert texts(store) == ["one", "two"]


def test_a_text_that_cannot_be_stored_does_not_keep_others_out(
    queue: StoreQueue, store: FakeStore, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    store.is_open.clear()
    for text in ("one", "two", "a\0b", "three", "bug", "four"):
        queue.add(flagged(text))
    store.is_open.set()
    queue.close()
    assert texts(store) == ["one", "two", "three", "four"]
    assert (count(metrics, "kept"), count(metrics, "lost")) == (4, 2)
    assert "the text has NUL" in caplog.text and "one" not in caplog.text


def test_the_end_does_not_wait_for_a_database_that_is_gone(
    queue: StoreQueue, store: FakeStore, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reviews, "CLOSE_SECONDS", 0.05)
    store.is_open.clear()
    queue.add(flagged("one"))
    queue.close()
    queue.add(flagged("two"))
    assert count(metrics, "lost") == 2


def test_an_earlier_message_of_a_chat_counts_once(queue: StoreQueue, store: FakeStore) -> None:
    for is_old in (False, True, True):
        queue.add(flagged("first", "prompt", is_old=is_old))
    queue.add(flagged("first", "prompt"))
    queue.add(flagged("unknown", "prompt", is_old=True))
    queue.close()
    assert texts(store) == ["first", "first", "unknown"]


def test_long_chats_are_cut_at_their_beginning() -> None:
    chat = [user_message(str(n)) for n in range(1000)]
    assert flagged("x", chat=chat).as_item().messages == chat[-reviews.MAX_CONTEXT_MESSAGES :]
    chat = [user_message("a" * 40_000), user_message("b" * 40_000), user_message("c")]
    assert flagged("x", chat=chat).as_item().messages == chat[1:]
    assert flagged("x", chat=[user_message("a" * 60_000)]).as_item().messages == []
