"""From a text that the policy sends to review to the people who judge it, through a running server."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from lmcraft.annotation.guidelines.guideline_file import open_guideline
from lmcraft.annotation.store import ReviewStore
from lmcraft.server.moderation.reviews import StoreQueue
from tests.server.moderation.guarded_server import guarded_server
from tests.server.moderation.test_chat import STREAM, ask
from tests.server.tiny_server import Server

pytest.importorskip("llguidance")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reviews") / "reviews.sqlite"


@pytest.fixture(scope="module")
def server(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    reviews = ReviewStore.open(file)
    reviews.add_guideline(open_guideline("harm"), "lmcraft")
    folder = tmp_path_factory.mktemp("server")
    with guarded_server(folder, lambda metrics: StoreQueue(reviews, metrics), reviews=reviews) as running_server:
        yield running_server


def wait_for(server: Server, text: str, traffic: int = 1) -> dict[str, Any]:
    """The row of the item with a text, once it has so much traffic."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        rows = httpx.get(server.url + "/api/review/items", params={"search": text}).json()["data"]
        if rows and rows[0]["traffic"] >= traffic:
            return dict(rows[0])
        time.sleep(0.02)
    raise TimeoutError(text)


@STREAM
def test_a_flagged_answer_is_claimed_with_its_chat(server: Server, stream: bool) -> None:
    answer = f"A review of {stream}."
    for traffic in (1, 2):
        ask(server, "Why?", answer=answer, stream=stream)
        row = wait_for(server, answer, traffic)
    assert (row["source"], row["subject"], row["traffic"]) == ("server", "answer", 2)
    details = httpx.get(f"{server.url}/api/review/items/{row['id']}").json()
    assert details["content"]["messages"] == [{"role": "user", "content": "Why?"}]
    assert details["content"]["answers"] == [answer] and details["decision"] is None  # until it is judged
    claimed = httpx.post(f"{server.url}/api/review/claims", json={}).json()["item"]
    body = {"claim": claimed["claim"]["token"], "id": f"v{stream}", "label": "acceptable", "rule": "H0"}
    assert httpx.post(f"{server.url}/api/review/items/{claimed['id']}/verdicts", json=body).status_code == 201
    judged = httpx.get(f"{server.url}/api/review/items/{claimed['id']}").json()
    assert judged["decision"]["action"] == "review"


def test_completions_are_reviewed_with_their_prompt(server: Server) -> None:
    body = {"prompt": ["One review", "Two"], "structured_outputs": {"regex": "And a review too\\."}, "max_tokens": 100}
    assert httpx.post(server.url + "/v1/completions", json=body, timeout=60).status_code == 200
    row = wait_for(server, "And a review too.")
    assert wait_for(server, "One review")["subject"] in ("prompt", "answer")
    messages = httpx.get(f"{server.url}/api/review/items/{row['id']}").json()["content"]["messages"]
    assert messages in ([{"role": "user", "content": "One review"}], [{"role": "user", "content": "Two"}])


@STREAM
def test_answers_do_not_wait_for_a_locked_database(server: Server, file: Path, stream: bool) -> None:
    answer = f"Locked review {stream}."
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert ask(server, answer=answer, stream=stream)["message"]["content"] == answer
        other.execute("ROLLBACK")
    wait_for(server, answer)
