"""A real server and a real store of reviews: the server is killed at random moments while somebody judges."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmcraft.annotation.guidelines.guideline_file import open_guideline
from lmcraft.annotation.records import NewItem
from lmcraft.annotation.store import ReviewStore
from tests.server.killable_server import KillableServer, killable_server
from tests.server.pages.conftest import new_context
from tests.server.pages.review.conftest import wait_for_screen

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

ITEMS, KILLS = 12, 4
LABELS = ("acceptable", "harmful", "unsure")
UPSTREAM = "http://127.0.0.1:9"  # no model is needed


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.sqlite"
    store = ReviewStore.open(str(path))
    store.add_guideline(open_guideline("harm"), "owner")
    items = [NewItem(guideline="harm", answers=[f"text {n}"], messages=[], source="file") for n in range(ITEMS)]
    store.add(items, "owner")
    store.close()
    return path


@pytest.fixture
def server(tmp_path: Path, database: Path) -> Iterator[KillableServer]:
    with killable_server(tmp_path, UPSTREAM, reviews=database) as running:
        yield running


def kill_at_random(server: KillableServer, rng: random.Random) -> None:
    for _ in range(KILLS):
        threading.Event().wait(rng.uniform(0.1, 1.5))
        server.kill()
        threading.Event().wait(rng.uniform(0.05, 1.0))
        server.start()


def read_label(text: str) -> int:
    """The label that the test gives to a text, from 1."""
    return int(text.removeprefix("text ")) % len(LABELS) + 1


@pytest.mark.slow
def test_every_verdict_is_stored_once(browser: Any, server: KillableServer, database: Path) -> None:
    killer = threading.Thread(target=kill_at_random, args=(server, random.Random(0)))
    with new_context(browser) as context:
        page = context.new_page()
        page.goto(f"{server.url}/review")
        judged: list[str] = []
        while len(judged) < ITEMS:
            page.wait_for_function(
                """(judged) => {
                  const isReady = document.querySelector(".desk:not([hidden]) .decision[aria-busy=false]");
                  const id = document.querySelector(".item")?.dataset.id;
                  return isReady && id && !judged.includes(id);
                }""",
                arg=judged,
            )
            judged.append(page.locator(".item").get_attribute("data-id"))
            page.keyboard.press("b")
            text = page.locator(".judged").inner_text()
            for key in (str(read_label(text)), "a", "Enter"):
                page.keyboard.press(key)
            if not killer.is_alive() and len(judged) == 1:
                killer.start()
        killer.join()
        wait_for_screen(page, "Nothing to judge right now")
        assert page.evaluate("Object.keys(localStorage).filter((key) => key.includes('journal'))") == []
    store = ReviewStore.open(str(database))
    votes = store.votes("harm")
    stored = sorted((vote.item, vote.label) for vote in votes)
    texts = {item: store.get(item)["content"]["answers"][0] for item in judged}
    store.close()
    assert stored == sorted((item, LABELS[read_label(text) - 1]) for item, text in texts.items())
