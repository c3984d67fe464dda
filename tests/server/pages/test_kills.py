"""The server is killed thirty times at random moments of conversations of ten messages: nothing that was shown is lost."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.killable_server import KillableServer, killable_server
from tests.server.pages.conftest import new_context, wait_until_all_is_saved, wait_until_ready
from tests.server.scripted_engine import in_words, scripted_engine

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

CONVERSATIONS, QUESTIONS, KILLS = 10, 5, 3
# Tells the test the longest text that each message has shown.
RECORD = """
const shown = new Map();
const look = () => {
  for (const node of document.querySelectorAll("#messages li.message[data-id]")) {
    const text = node.querySelector(".body:not(.waiting)")?.innerText.trim() ?? "";
    if (node.querySelector(".editor") || text.length <= (shown.get(node.dataset.id) ?? "").length) continue;
    shown.set(node.dataset.id, text);
    window.recordShown(node.dataset.id, text);
  }
};
new MutationObserver(look).observe(document, { childList: true, subtree: true, characterData: true });
"""


@pytest.fixture
def shown() -> dict[str, str]:
    """The longest text that was shown of each message, by id."""
    return {}


@pytest.fixture
def page(browser: Any, server: KillableServer, shown: dict[str, str]) -> Iterator[Any]:
    def record(_: Any, id_: str, text: str) -> None:
        shown[id_] = max(shown.get(id_, ""), text, key=len)

    with new_context(browser, width=1200, init_script=RECORD) as context:
        context.expose_binding("recordShown", record)
        page = context.new_page()
        exceptions: list[str] = []
        page.on("pageerror", lambda error: exceptions.append(str(error.stack)))
        page.goto(server.url)
        wait_until_ready(page)
        yield page
        assert exceptions == []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KillableServer]:
    count = iter(range(10**6))

    def answer(body: dict[str, Any]) -> list[str]:
        return in_words(" ".join(f"answer{next(count)}" for _ in range(25)))

    with scripted_engine(answer, seconds_per_piece=0.04) as engine, killable_server(tmp_path, engine.url) as running:
        yield running


def kill_at_random(server: KillableServer, rng: random.Random, is_alive: threading.Event) -> None:
    for _ in range(KILLS):
        threading.Event().wait(rng.uniform(0.05, 2.5))
        is_alive.clear()
        server.kill()
        threading.Event().wait(rng.uniform(0.02, 1.5))
        server.start()
        is_alive.set()


def act(page: Any, rng: random.Random, is_alive: threading.Event) -> str:
    """Do something with the last answer, or with the page. Returns what."""
    last = "#messages > li.assistant.last"
    action = rng.choice(["nothing", "regenerate", "edit", "rate", "compare", "reload", "retry", "leave"])
    if action == "retry":
        click_if_there(page, f'{last} [data-act="retry"]')
    elif action == "regenerate":
        click_if_there(page, f'{last} [data-act="regenerate"]')
    elif action == "rate":
        if click_if_there(page, f'{last} [data-act="good"]'):
            page.keyboard.press("Escape")
    elif action == "compare":
        if click_if_there(page, f'{last} [data-act="compareVersions"]'):
            page.locator(".pair button", has_text=rng.choice(["Skip", "I prefer"])).first.click()
    elif action == "edit":
        if click_if_there(page, f'{last} [data-act="edit"]'):
            page.fill(".editor textarea", f"edited{rng.randrange(10**6)}")
            page.get_by_role("button", name="Save", exact=True).click()
    elif action == "reload":
        page.fill("#input", text := f"draft{rng.randrange(10**6)}")
        reload(page, is_alive)
        expect(page.locator("#input")).to_have_value(text)
    elif action == "leave":
        chat = page.url.rpartition("#c-")[2]
        page.click("#new")
        while not page.url.endswith(chat):
            is_alive.wait(60)  # else it cannot be read from the store
            page.locator(f'#conversations [data-id="{chat}"] .open').click()
            page.wait_for_timeout(500)
    return action


def click_if_there(page: Any, selector: str) -> bool:
    button = page.locator(f"{selector}:enabled").first
    if not button.is_visible():
        return False
    button.click()
    return True


def reload(page: Any, is_alive: threading.Event) -> None:
    while True:
        is_alive.wait(60)
        try:
            page.reload()
            expect(page.locator("#input")).to_be_enabled(timeout=5000)
            return
        except (playwright.Error, AssertionError):
            continue  # the server was killed in the meantime


def wait_until_idle(page: Any) -> None:
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator("#messages .live")).to_have_count(0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(CONVERSATIONS))
def test_nothing_that_was_shown_is_lost(page: Any, server: KillableServer, shown: dict[str, str], seed: int) -> None:
    rng, is_alive, log = random.Random(seed), threading.Event(), []
    is_alive.set()
    killer = threading.Thread(target=kill_at_random, args=(server, random.Random(seed + 1000), is_alive))
    if seed % 3 == 0:
        page.click("#compare")
    killer.start()
    for n in range(QUESTIONS):
        question = f"question{seed} {n}"
        page.fill("#input", question)
        page.press("#input", "Enter")
        expect(page.locator("#messages > li.user .body").last).to_have_text(question)
        if rng.random() < 0.3:
            page.wait_for_timeout(rng.uniform(0, 900))
            page.keyboard.press("Escape")
        wait_until_idle(page)
        log.append(act(page, rng, is_alive))
        wait_until_idle(page)
    killer.join()
    contents = read_messages(page, server)
    lost = {id_: text for id_, text in shown.items() if not contents.get(id_, "").startswith(text)}
    assert lost == {}, log
    assert len(shown) >= QUESTIONS
    reload(page, is_alive)
    expect(page.locator("#messages > li.user .body").last).to_have_text(f"question{seed} {QUESTIONS - 1}")


def read_messages(page: Any, server: KillableServer) -> dict[str, str]:
    """The text of each message in the store, once the page has nothing left to save."""
    wait_until_all_is_saved(page)
    exported = page.request.get(f"{server.url}/api/export").json()["conversations"]
    return {message["id"]: message["content"] for conversation in exported for message in conversation["messages"]}
