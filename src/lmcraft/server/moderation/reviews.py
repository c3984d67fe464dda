"""Sends texts to the people who review: a thread writes them to the store, so that no answer waits for a database."""

import hashlib
import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from lmcraft.annotation.content import MAX_ROLE_CHARS
from lmcraft.annotation.records import NewItem, StoreError
from lmcraft.annotation.sources.decisions import weigh_decision
from lmcraft.annotation.store import ReviewStore
from lmcraft.errors import UserError
from lmcraft.moderation.decision import Decision
from lmcraft.server.metrics import Metrics

log = logging.getLogger("lmcraft.server")
GUIDELINE = "harm"
"""The guideline by which people judge what the server sends."""
ACTOR = "server"
"""Who adds items, in the audit log."""
MAX_WAITING = 1000  # texts that have not been written; more are lost
MAX_WAITING_CHARS = 50_000_000  # of these texts and their messages
MAX_BATCH = 100  # texts written together
MAX_CONTEXT_CHARS = 50_000  # of the messages before a text; the oldest are left out
MAX_CONTEXT_MESSAGES = 100
MAX_REMEMBERED = 10_000  # texts by their hashes
RETRY_SECONDS = 1.0  # after a failure; doubles after each one, up to the maximum
MAX_RETRY_SECONDS = 30.0
CLOSE_SECONDS = 2.0

Chat = Sequence[Mapping[str, str]]
"""Messages, each with `role` and `content`."""


@dataclass(frozen=True, slots=True)
class FlaggedText:
    """A text that the policy sends to review."""

    subject: Literal["prompt", "answer"]
    text: str
    chat: Chat
    """The messages of the request; a prompt may be one of them."""
    decision: Decision
    sender: str
    """The name of the API key that sent the request; empty: the server is open."""
    is_old: bool = False
    """It is an earlier message of a chat, which every later request of that chat repeats."""

    @property
    def context(self) -> Chat:
        """The messages before the text; of long chats, the last ones."""
        end = len(self.chat)
        if self.subject == "prompt":
            end = next((n for n in reversed(range(end)) if self.chat[n]["content"] == self.text), 0)
        return last_messages(self.chat[:end])

    @property
    def sha256(self) -> bytes:
        """The hash of the text, of where it stands, and of who sent it."""
        return hashlib.sha256(f"{self.subject}\n{self.sender}\n{self.text}".encode(errors="replace")).digest()

    def as_item(self) -> NewItem:
        """The item of the review store."""
        record = self.decision.as_json()
        severity, uncertainty = weigh_decision(record)
        return NewItem(
            guideline=GUIDELINE,
            answers=(self.text,),
            source="server",
            subject=self.subject,
            messages=self.context,
            severity=severity,
            uncertainty=uncertainty,
            decision=record,
            sender=self.sender,
        )


def last_messages(chat: Chat) -> Chat:
    """The last messages of a chat, as many as one review reads."""
    begin, room = len(chat), MAX_CONTEXT_CHARS
    while begin and len(chat) - begin < MAX_CONTEXT_MESSAGES and (room := room - len(chat[begin - 1]["content"])) >= 0:
        begin -= 1
    return [{"role": message["role"][:MAX_ROLE_CHARS], "content": message["content"]} for message in chat[begin:]]


def user_message(text: str) -> Mapping[str, str]:
    """A message of a user, such as the prompt of a completion."""
    return {"role": "user", "content": text}


class ReviewQueue(Protocol):
    """Keeps the texts that a policy sends to review."""

    def add(self, text: FlaggedText) -> None:
        """Add a text. It is called in the event loop, so it must not wait for anything.

        Raises:
            OSError: it cannot be kept.
        """

    def flush(self, seconds: float) -> None:
        """Wait until everything that was added is kept or lost, but not longer than this."""

    def close(self) -> None:
        """Keep what waits, if that takes no more than a few seconds; called once, at the end of the server."""


class StoreQueue:
    """Adds texts to a review store. What cannot be written is tried again, and lost if too much waits, or at the end.

    Args:
        store: open, with the guideline `GUIDELINE`.
        metrics: counts what is kept and what is lost.
    """

    def __init__(self, store: ReviewStore, metrics: Metrics) -> None:
        self._store, self._metrics = store, metrics
        self._waiting: deque[NewItem] = deque()
        self._waiting_chars = 0
        self._remembered: OrderedDict[bytes, None] = OrderedDict()
        self._change = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="reviews", daemon=True)
        self._thread.start()

    def add(self, text: FlaggedText) -> None:
        item = text.as_item()
        size = _num_chars(item)
        with self._change:
            if self._repeats(text):
                return
            if self._is_closing or len(self._waiting) >= MAX_WAITING or self._waiting_chars + size > MAX_WAITING_CHARS:
                self._metrics.record_reviews("lost", 1)
                return
            self._waiting.append(item)
            self._waiting_chars += size
            self._change.notify_all()

    def flush(self, seconds: float) -> None:
        with self._change:
            self._change.wait_for(lambda: not self._waiting, seconds)

    def close(self) -> None:
        """Write what waits, for as long as `CLOSE_SECONDS`, and end the thread."""
        with self._change:
            self._is_closing = True
            self._change.notify_all()
        self._thread.join(CLOSE_SECONDS)
        with self._change:
            if lost := len(self._waiting):
                self._metrics.record_reviews("lost", lost)
                log.error("%d texts that need review could not be saved before the server ended", lost)

    def _repeats(self, text: FlaggedText) -> bool:
        """Whether an earlier message of a chat has been added before."""
        key = text.sha256
        is_known = key in self._remembered
        self._remembered[key] = None
        self._remembered.move_to_end(key)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return is_known and text.is_old

    def _run(self) -> None:
        delay, size = RETRY_SECONDS, MAX_BATCH
        while batch := self._next_batch(size):
            try:
                self._store.add(batch, ACTOR)
            except StoreError as error:
                log.error("texts that need review wait, because they cannot be saved (%s)", error)
                with self._change:
                    self._change.wait_for(lambda: self._is_closing, delay)
                    if self._is_closing:
                        return
                delay = min(2 * delay, MAX_RETRY_SECONDS)
                continue
            except Exception as error:
                if len(batch) > 1:
                    size = 1  # to know which one cannot be stored
                    continue
                log.error("a text that needs review cannot be stored (%s)", error, exc_info=not isinstance(error, UserError))
                self._forget(batch, "lost")
            else:
                self._forget(batch, "kept")
            delay, size = RETRY_SECONDS, MAX_BATCH

    def _next_batch(self, size: int) -> list[NewItem]:
        """The texts that have waited longest; none at the end."""
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._is_closing)
            return list(self._waiting)[:size]

    def _forget(self, batch: Sequence[NewItem], outcome: Literal["kept", "lost"]) -> None:
        self._metrics.record_reviews(outcome, len(batch))
        with self._change:
            for item in batch:
                self._waiting.popleft()
                self._waiting_chars -= _num_chars(item)
            self._change.notify_all()


def _num_chars(item: NewItem) -> int:
    return sum(map(len, item.answers)) + sum(len(message["content"]) for message in item.messages)
