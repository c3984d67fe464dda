"""The chat page loses no word: the server is killed at every step of a conversation, and the page is reloaded or closed."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.killable_server import KillableServer, killable_server
from tests.server.pages.conftest import new_context, wait_until_ready
from tests.server.scripted_engine import ScriptedEngine, in_words, scripted_engine

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

ANSWER = "#messages > li.assistant"
LAST = f"{ANSWER}.last"
USER = "#messages > li.user"
PAIRED = ".pair li.assistant"
WORDS = " ".join(f"word{n}" for n in range(40))
SECONDS_PER_WORD = 0.03


@pytest.fixture(scope="module")
def engine() -> Iterator[ScriptedEngine]:
    with scripted_engine() as running_engine:
        yield running_engine


@pytest.fixture(scope="module")
def server(engine: ScriptedEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableServer]:
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    with killable_server(tmp_path_factory.mktemp("killable"), engine.url) as running_server:
        yield running_server


@pytest.fixture
def context(browser: Any, server: KillableServer, engine: ScriptedEngine) -> Iterator[Any]:
    engine.script, engine.seconds_per_piece = lambda body: in_words(WORDS), SECONDS_PER_WORD
    if not server.is_running:
        server.start()
    with new_context(browser, width=1200) as context:
        yield context


@pytest.fixture
def page(context: Any, server: KillableServer) -> Iterator[Any]:
    """The page, newly opened. Afterwards no exception may have been left uncaught."""
    page = open_page(context, server)
    exceptions: list[str] = []
    page.on("pageerror", lambda error: exceptions.append(str(error)))
    yield page
    assert exceptions == []


def open_page(context: Any, server: KillableServer, address: str = "") -> Any:
    page = context.new_page()
    page.goto(server.url + address)
    wait_until_ready(page)
    return page


def ask(page: Any, text: str) -> None:
    page.fill("#input", text)
    page.press("#input", "Enter")
    expect(page.locator(f"{USER} .body").last).to_have_text(text)


def wait_until_idle(page: Any) -> None:
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator("#messages .live")).to_have_count(0)


def wait_until_saved(page: Any, conversation: str, contents: list[str]) -> None:
    """Wait until the store has exactly these messages, in any order."""
    url = f"{page.url.partition('#')[0]}api/conversations/{conversation}"
    for _ in range(300):
        response = page.request.get(url)
        stored = [message["content"] for message in response.json()["messages"]] if response.ok else []
        if sorted(stored) == sorted(contents):
            return
        page.wait_for_timeout(100)
    assert sorted(stored) == sorted(contents)


def wait_until_journal_is_empty(page: Any) -> None:
    for _ in range(300):
        keys = page.evaluate("Object.keys(localStorage)")
        if not any(key.startswith("lmcraft-journal") for key in keys):
            return
        page.wait_for_timeout(100)
    raise AssertionError(keys)


def conversation_id(page: Any) -> str:
    return str(page.url.rpartition("#c-")[2])


def body_text(page: Any, selector: str = LAST) -> str:
    return str(page.locator(f"{selector} .body").inner_text())


def finish(page: Any, text: str) -> None:
    ask(page, text)
    expect(page.locator(f"{LAST} .body")).to_have_text(WORDS)
    wait_until_idle(page)


def test_a_question_whose_answer_has_not_begun(page: Any, server: KillableServer, engine: ScriptedEngine) -> None:
    gate = engine.hold(WORDS, 0)
    ask(page, "one")
    expect(page.locator(".dot")).not_to_have_count(0)
    server.kill()
    expect(page.locator(f"{LAST} .notice")).to_be_visible()
    gate.set()
    server.start()
    page.click(f'{LAST} [data-act="retry"]')
    expect(page.locator(f"{LAST} .body")).to_have_text(WORDS)
    wait_until_idle(page)
    wait_until_saved(page, conversation_id(page), ["one", WORDS])


def test_an_answer_that_is_cut_off_and_the_next_question(page: Any, server: KillableServer, engine: ScriptedEngine) -> None:
    gate = engine.hold(WORDS, 5)
    ask(page, "one")
    expect(page.locator(f"{LAST} .body")).to_contain_text("word3")
    server.kill()
    expect(page.locator(f"{LAST} .notice")).to_be_visible()
    gate.set()
    partial = body_text(page)
    ask(page, "two")
    expect(page.locator(f"{LAST} .notice")).to_contain_text("Cannot reach the server")
    expect(page.locator(f"{USER} .unsaved").last).to_be_visible()
    expect(page.locator(".toast")).to_have_count(0)
    server.start()
    page.click(f'{LAST} [data-act="retry"]')
    expect(page.locator(f"{LAST} .body")).to_have_text(WORDS)
    wait_until_idle(page)
    expect(page.locator(".unsaved")).to_have_count(0)
    wait_until_saved(page, conversation_id(page), ["one", partial, "two", WORDS])
    page.reload()
    expect(page.locator(f"{ANSWER} .body").first).to_have_text(partial)
    expect(page.locator(f"{LAST} .body")).to_have_text(WORDS)


def test_a_cut_answer_is_repeated_as_another_version(page: Any, server: KillableServer, engine: ScriptedEngine) -> None:
    gate = engine.hold(WORDS, 5)
    ask(page, "one")
    expect(page.locator(f"{LAST} .body")).to_contain_text("word3")
    server.kill()
    expect(page.locator(f"{LAST} .notice")).to_be_visible()
    gate.set()
    partial = body_text(page)
    server.start()
    page.reload()
    expect(page.locator(f"{LAST} .body")).to_have_text(partial)
    page.click(f'{LAST} [data-act="retry"]')
    expect(page.locator(f"{LAST} .body")).to_have_text(WORDS)
    wait_until_idle(page)
    wait_until_saved(page, conversation_id(page), ["one", partial, WORDS])


@pytest.mark.parametrize("is_received", [False, True])
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_a_server_that_dies_while_saving(page: Any, server: KillableServer, role: str, is_received: bool) -> None:
    kills = []

    def die(route: Any) -> None:
        if kills or route.request.post_data_json["role"] != role:
            return route.fallback()
        kills.append(role)
        if is_received:
            route.fetch()
        server.kill()
        return route.abort()

    page.route("**/messages", die)
    ask(page, "one")
    expect(page.locator(".unsaved").first).to_be_visible()
    wait_until_idle(page)
    text = body_text(page)
    server.start()
    expect(page.locator(".unsaved")).to_have_count(0)
    wait_until_saved(page, conversation_id(page), ["one", *([text] if text else [])])
    assert kills


def test_two_answers_of_which_none_was_picked(page: Any, server: KillableServer, engine: ScriptedEngine) -> None:
    engine.hold(WORDS, 5)
    page.click("#compare")
    ask(page, "one")
    expect(page.locator(f"{PAIRED} .body").first).to_contain_text("word3")
    expect(page.locator(f"{PAIRED} .body").nth(1)).to_contain_text("word3")
    server.kill()
    expect(page.locator(f"{PAIRED} .notice")).to_have_count(2)
    partial = page.locator(f"{PAIRED} .body").all_inner_texts()
    page.fill(".pair input", "shorter")
    server.start()
    page.reload()
    expect(page.locator(f"{PAIRED} .body")).to_have_text(partial)
    expect(page.locator(".pair input")).to_have_value("shorter")
    chat = conversation_id(page)
    page.click("#new")
    page.locator(f'#conversations [data-id="{chat}"] .open').click()
    expect(page.locator(f"{PAIRED} .body")).to_have_text(partial)
    page.locator(".pair .main").nth(1).click()
    expect(page.locator(".pair")).to_have_count(0)
    expect(page.locator(f"{LAST} .body")).to_have_text(partial[1])
    wait_until_saved(page, chat, ["one", *partial])
    wait_until_journal_is_empty(page)
    export = page.request.get(f"{server.url}/api/export").json()
    assert any(pick["reason"] == "shorter" for pick in export["preferences"])
    page.reload()
    expect(page.locator(f"{LAST} .body")).to_have_text(partial[1])


def test_an_open_editor(page: Any, server: KillableServer) -> None:
    finish(page, "one")
    page.click(f'{LAST} [data-act="edit"]')
    page.fill(".editor textarea", "as I would say it")
    server.kill()
    page.fill("#input", "and then")
    server.start()
    page.reload()
    expect(page.locator(".editor textarea")).to_have_value("as I would say it")
    expect(page.locator("#input")).to_have_value("and then")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(f"{LAST} .body")).to_have_text("as I would say it")
    wait_until_saved(page, conversation_id(page), ["one", WORDS, "as I would say it"])
    page.reload()
    expect(page.locator(".editor")).to_have_count(0)


def test_what_is_done_while_the_server_is_away(page: Any, server: KillableServer) -> None:
    finish(page, "one")
    chat = conversation_id(page)
    server.kill()
    page.click(f'{LAST} [data-act="good"]')
    page.type(".reason-form input", "cle")
    expect(page.locator(f"{LAST} .unsaved")).to_be_visible()
    page.keyboard.type("ar")  # the form has kept its text and the focus
    page.keyboard.press("Enter")
    page.click(f'#conversations [data-id="{chat}"] [aria-label^="Rename"]')
    page.fill("dialog input", "Renamed")
    page.press("dialog input", "Enter")
    page.click("#new")
    ask(page, "in another chat")
    expect(page.locator(f"{LAST} .notice")).to_contain_text("Cannot reach the server")
    expect(page.locator("#conversations .open").first).to_have_text("in another chat")
    expect(page.locator(".toast")).to_have_count(0)
    other = conversation_id(page)
    page.click("#new")
    page.locator("#conversations .open", has_text="in another chat").click()
    expect(page.locator(f"{USER} .body")).to_have_text("in another chat")
    server.start()
    wait_until_saved(page, other, ["in another chat"])
    expect(page.locator(".unsaved")).to_have_count(0)
    page.locator(f'#conversations [data-id="{chat}"] .open').click()
    expect(page.locator("#title")).to_have_text("Renamed")
    expect(page.locator(f'{LAST} [data-act="good"]')).to_have_attribute("aria-label", "Good answer: clear")


def test_a_page_that_ends_without_notice(page: Any, engine: ScriptedEngine) -> None:
    page.context.add_init_script(
        "const listen = window.addEventListener;"
        "window.addEventListener = (type, ...rest) => type === 'pagehide' || listen.call(window, type, ...rest);"
    )
    page.reload()
    engine.script = lambda body: in_words(" ".join(f"word{n}" for n in range(5000)))
    ask(page, "one")
    page.wait_for_function("() => Object.values(localStorage).some((text) => text.includes('word19'))")
    expect(page.locator(f"{LAST}.live")).to_have_count(1)
    page.reload()
    expect(page.locator(f"{LAST} .body")).to_contain_text("word19")
    expect(page.locator(f'{LAST} [data-act="continue"]')).to_be_visible()
    wait_until_saved(page, conversation_id(page), ["one", body_text(page)])


def test_regenerating_and_stopping_before_the_first_token(page: Any, engine: ScriptedEngine) -> None:
    finish(page, "one")
    gate = engine.hold(WORDS, 0)
    page.click(f'{LAST} [data-act="regenerate"]')
    expect(page.locator(".dot")).not_to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator(f"{LAST} .body")).to_have_text(WORDS)
    page.click("#compare")
    page.click(f'{LAST} [data-act="regenerate"]')
    expect(page.locator(".pair .dot")).not_to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator(".pair")).to_have_count(0)
    expect(page.locator(f"{LAST} .body")).to_have_text(WORDS)
    gate.set()


def test_drafts_of_a_new_chat_and_of_others(page: Any) -> None:
    page.fill("#input", "not sent yet")
    page.click("#open-panel")
    page.fill("#f-system", "Be brief.")
    page.reload()
    expect(page.locator("#input")).to_have_value("not sent yet")
    page.click("#open-panel")
    expect(page.locator("#f-system")).to_have_value("Be brief.")
    page.press("#input", "Enter")
    expect(page.locator(f"{LAST} .body")).to_have_text(WORDS)
    wait_until_idle(page)
    page.fill("#input", "a draft")
    page.click("#new")
    expect(page.locator("#input")).to_have_value("")
    page.locator("#conversations .open").first.click()
    expect(page.locator("#input")).to_have_value("a draft")
    page.reload()
    expect(page.locator("#input")).to_have_value("a draft")


def test_what_another_tab_says_appears(page: Any, context: Any, server: KillableServer) -> None:
    finish(page, "one")
    second = open_page(context, server, f"#c-{conversation_id(page)}")
    expect(second.locator(f"{LAST} .body")).to_have_text(WORDS)
    finish(second, "two")
    expect(page.locator(f"{USER} .body").last).to_have_text("two")
    expect(page.locator(ANSWER)).to_have_count(2)
    second.click("#new")
    finish(second, "from the second tab")
    expect(page.locator("#conversations .open").first).to_have_text("from the second tab")
    second.locator('#conversations [aria-label^="Delete"]').first.click()
    second.locator("dialog .danger").click()
    expect(page.locator("#conversations .open", has_text="from the second tab")).to_have_count(0)


def test_any_two_versions_are_compared_at_any_time(page: Any, server: KillableServer, engine: ScriptedEngine) -> None:
    texts = iter(["first", "second", "third", "after"])
    engine.script = lambda body: [next(texts)]
    ask(page, "one")
    for text in ("first", "second", "third"):
        expect(page.locator(f"{LAST} .body")).to_have_text(text)
        wait_until_idle(page)
        if text != "third":
            page.click(f'{LAST} [data-act="regenerate"]')
    ask(page, "two")
    expect(page.locator(f"{LAST} .body")).to_have_text("after")
    wait_until_idle(page)
    page.hover(ANSWER)
    page.locator(f'{ANSWER} [data-act="compareVersions"]').first.click()
    expect(page.locator(f"{PAIRED} .body")).to_have_text(["second", "third"])
    page.locator(f'{PAIRED} [data-act="previous"]').first.click()
    expect(page.locator(f"{PAIRED} .body")).to_have_text(["first", "third"])
    page.reload()
    expect(page.locator(f"{PAIRED} .body")).to_have_text(["first", "third"])
    page.locator(".pair .main").nth(1).click()
    expect(page.locator(f"{LAST} .body")).to_have_text("after")  # what follows the third
    page.locator(f'{ANSWER} [data-act="compareVersions"]').first.click()
    page.locator(".pair .quiet", has_text="Skip").click()
    expect(page.locator(f"{LAST} .body")).to_have_text("after")


@pytest.mark.parametrize("width", [320, 390, 700, 1024, 1280, 1920])
def test_both_of_two_answers_with_long_lines_are_within_reach(page: Any, engine: ScriptedEngine, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    engine.script = lambda body: [f"```python\n{'x = 1; ' * 80}\n```\n\n{'y' * 300}"]
    page.click("#compare")
    page.fill("#input", "code")
    page.press("#input", "Enter")
    expect(page.locator(f"{PAIRED} pre")).to_have_count(2)
    wait_until_idle(page)
    sizes = page.locator(".pair .message, .pair .main").evaluate_all(
        "nodes => nodes.map((node) => { const { left, right } = node.getBoundingClientRect(); return [left, right]; })"
    )
    assert len(sizes) == 4 and all(left >= 0 and right <= width for left, right in sizes)
    assert page.evaluate("document.getElementById('scroll').scrollWidth <= document.getElementById('scroll').clientWidth")


def test_a_question_after_answers_that_failed_twice(page: Any, server: KillableServer) -> None:
    finish(page, "one")
    server.kill()
    for _ in range(2):
        page.click(f'{LAST} [data-act="regenerate"]')
        expect(page.locator(f"{LAST} .notice")).to_contain_text("Cannot reach the server")
    ask(page, "two")
    server.start()
    expect(page.locator(f"{LAST} .notice")).to_be_visible()
    page.click(f'{LAST} [data-act="retry"]')
    expect(page.locator(f"{LAST} .body")).to_have_text(WORDS)
    wait_until_saved(page, conversation_id(page), ["one", WORDS, "two", WORDS])
    expect(page.locator(".switcher")).to_have_count(0)


def test_a_reload_while_the_server_comes_and_goes(page: Any, server: KillableServer) -> None:
    finish(page, "one")
    page.fill("#input", "a draft")
    failures = [503, 503]
    page.route(
        "**/api/conversations/*", lambda route: route.fulfill(status=failures.pop()) if failures else route.fallback()
    )
    page.reload()
    expect(page.locator(f"{LAST} .body")).to_have_text(WORDS)
    expect(page.locator("#input")).to_have_value("a draft")
    expect(page.locator(".toast")).to_have_count(1)
