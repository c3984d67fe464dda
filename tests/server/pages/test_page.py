"""The chat page in a browser, in front of a real server with a tiny random model.

The model's answers are meaningless, so no test depends on their text.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.pages.conftest import new_context, wait_until_all_is_saved, wait_until_ready

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

LAST = "#messages > li.assistant.last"
USER = "#messages > li.user"
HOSTILE = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script> [x](javascript:window.hurt=1) \u202etxt.exe'
# Records violations of the content security policy. While `window.endless` is set, answers only end when they are stopped.
INIT_SCRIPT = """
window.violations = [];
const record = ({ violatedDirective, blockedURI }) => window.violations.push(`${violatedDirective} ${blockedURI}`);
document.addEventListener("securitypolicyviolation", record);
const realFetch = window.fetch;
window.fetch = (path, options) => {
  if (!window.endless || !String(path).endsWith("/completions")) return realFetch(path, options);
  const event = new TextEncoder().encode(`data: ${JSON.stringify({ choices: [{ delta: { content: "word " } }] })}\\n\\n`);
  const start = (stream) => {
    const timer = setInterval(() => stream.enqueue(event), 5);
    options.signal.addEventListener("abort", () => (clearInterval(timer), stream.error(options.signal.reason)));
  };
  return Promise.resolve(new Response(new ReadableStream({ start })));
};
"""


@pytest.fixture
def console_errors() -> list[str]:
    """Errors in the page's console. A test that provokes one clears the list."""
    return []


@pytest.fixture
def page(browser: Any, server_url: str, console_errors: list[str]) -> Iterator[Any]:
    """The page, newly opened. Afterwards there must be no errors in its console."""
    with new_context(browser, width=1200, init_script=INIT_SCRIPT) as context:
        page = context.new_page()
        page.on("console", lambda message: console_errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: console_errors.append(str(error)))
        page.goto(server_url)
        wait_until_ready(page)
        yield page
        assert page.evaluate("window.violations") == []
        assert console_errors == []


def send(page: Any, text: str) -> None:
    """Send a message and wait for its answer."""
    page.fill("#input", text)
    page.press("#input", "Enter")
    expect(page.locator(f"{USER} .body").last).to_have_text(text)
    wait_until_idle(page)


def wait_until_idle(page: Any) -> None:
    """Wait until no answer is in progress and all are saved. To be called once the new answer is on the page."""
    expect(page.locator("#messages > li.last, .pair")).not_to_have_count(0)
    expect(page.locator("#messages .live")).to_have_count(0)
    expect(page.locator("#send")).to_be_visible()


def mock_answer(page: Any, text: str, count: int) -> None:
    """Make the next answer `count` times `text`, written as in a JSON string."""
    event = f'data: {{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}\n\n'
    body = event * count + "data: [DONE]\n\n"
    page.route("**/v1/chat/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream"))


def start_endless_answer(page: Any) -> None:
    page.evaluate("window.endless = true")
    page.fill("#input", "a long story")
    page.press("#input", "Enter")
    expect(page.locator("#messages .live .body")).to_contain_text("word word")


def version_label(page: Any, selector: str) -> Any:
    return page.locator(f"{selector} .switcher > span")


def click_and_wait_for_patch(page: Any, selector: str) -> None:
    """Click, and wait until the change of the conversation is saved."""
    with page.expect_response(lambda response: response.request.method == "PATCH"):
        page.click(selector)


def import_conversation(page: Any, server_url: str, messages: list[dict[str, str]]) -> None:
    """Import a conversation and open it."""
    response = page.request.post(f"{server_url}/api/import", data=[{"messages": messages}])
    assert response.ok, response.text()
    page.reload()
    page.locator("#conversations li").first.locator("a, button").first.click()
    expect(page.locator("#messages > li")).to_have_count(len(messages))


def test_messages_and_answers_are_saved(page: Any) -> None:
    send(page, "first words")
    expect(page.locator(f"{LAST} .stats")).to_contain_text("tokens/s")
    expect(page.locator("#context")).to_be_visible()
    answer = page.locator(f"{LAST} .body").inner_text()
    page.reload()
    expect(page.locator(f"{USER} .body")).to_have_text("first words")
    assert page.locator(f"{LAST} .body").inner_text() == answer


def test_stopped_answers_keep_their_text(page: Any) -> None:
    start_endless_answer(page)
    page.press("#input", "Escape")
    wait_until_idle(page)
    expect(page.locator(f"{LAST} .note")).to_have_text("Stopped.")
    page.evaluate("window.endless = false")
    page.click(f'{LAST} [data-act="continue"]')
    wait_until_idle(page)
    expect(page.locator(f"{LAST} .body")).to_contain_text("word word")


def test_reloading_the_page_keeps_an_unfinished_answer(page: Any) -> None:
    start_endless_answer(page)
    page.reload()
    expect(page.locator(f"{LAST} .body")).to_contain_text("word word")
    expect(page.locator(f"{LAST} .note")).to_have_text("Stopped.")


def test_an_answer_with_nul_is_saved(page: Any) -> None:
    mock_answer(page, "a\\u0000b", 1)
    send(page, "one")
    expect(page.locator(f"{LAST} .notice")).to_have_count(0)
    page.reload()
    expect(page.locator(f"{LAST} .body")).to_have_text("a\ufffdb")


def test_regenerating_and_editing_the_question_make_branches(page: Any) -> None:
    send(page, "one")
    page.click(f'{LAST} [data-act="regenerate"]')
    expect(version_label(page, LAST)).to_have_text("2/2")
    wait_until_idle(page)
    page.click(f'{USER} [data-act="edit"]')
    page.fill(".editor textarea", "two")
    page.press(".editor textarea", "Enter")
    expect(version_label(page, USER)).to_have_text("2/2")
    expect(page.locator(f"{USER} .body")).to_have_text("two")
    wait_until_idle(page)
    click_and_wait_for_patch(page, f'{USER} [data-act="previous"]')
    expect(page.locator(f"{USER} .body")).to_have_text("one")
    expect(version_label(page, LAST)).to_have_text("2/2")
    page.reload()
    expect(page.locator(f"{USER} .body")).to_have_text("one")  # the branch that was open


def test_a_branch_opened_during_an_answer_is_still_open_after_a_reload(page: Any) -> None:
    send(page, "one")
    page.evaluate("window.endless = true")
    page.click(f'{LAST} [data-act="regenerate"]')
    expect(page.locator("#messages .live .body")).to_contain_text("word word")
    page.click(f'{LAST} [data-act="previous"]')
    expect(version_label(page, LAST)).to_have_text("1/2")
    page.click("#stop")  # saves the answer of the other branch
    expect(page.locator("#stop")).to_be_hidden()
    wait_until_all_is_saved(page)
    page.reload()
    expect(version_label(page, LAST)).to_have_text("1/2")


@pytest.mark.parametrize("then_continue", [False, True])
def test_editing_an_answer_keeps_the_old_version(page: Any, then_continue: bool) -> None:
    send(page, "one")
    old = page.locator(f"{LAST} .body").inner_text()
    page.click(f'{LAST} [data-act="edit"]')
    page.fill(".editor textarea", "as I would say it")
    page.get_by_role("button", name="Save and continue" if then_continue else "Save", exact=True).click()
    count = 3 if then_continue else 2  # the edited version stays next to its continuation
    expect(version_label(page, LAST)).to_have_text(f"{count}/{count}")
    wait_until_idle(page)
    expect(page.locator(f"{LAST} .body")).to_contain_text("as I would say it")
    for _ in range(count - 1):
        page.click(f'{LAST} [data-act="previous"]')
    assert page.locator(f"{LAST} .body").inner_text() == old


def test_two_answers_and_a_preference(page: Any, server_url: str) -> None:
    page.click("#compare")
    send(page, "one")
    expect(page.locator(".pair li.assistant")).to_have_count(2)
    page.fill(".pair input", "shorter")
    page.locator(".pair .main").nth(1).click()
    expect(page.locator(".pair")).to_have_count(0)
    expect(version_label(page, LAST)).to_have_text("2/2")
    chosen = page.locator(LAST).get_attribute("data-id")
    page.wait_for_function(
        """async (id) => {
          const { preferences } = await (await fetch("/api/export")).json(); // it is saved in the background
          return preferences.some(({ chosen, reason }) => chosen === id && reason === "shorter");
        }""",
        arg=chosen,
    )


def test_a_rating_and_its_reason_are_saved(page: Any, server_url: str) -> None:
    send(page, "one")
    page.click(f'{LAST} [data-act="bad"]')
    page.fill(".reason-form input", "too long")
    page.press(".reason-form input", "Enter")
    expect(page.locator(f'{LAST} [data-act="bad"]')).to_have_attribute("aria-pressed", "true")
    page.reload()
    bad = page.locator(f'{LAST} [data-act="bad"]')
    expect(bad).to_have_attribute("aria-pressed", "true")
    expect(bad).to_have_attribute("aria-label", "Bad answer: too long")


def test_picking_another_token_by_keyboard_makes_a_branch(page: Any) -> None:
    send(page, "one")
    page.click(f'{LAST} [data-act="tokens"]')
    first = page.locator(f"{LAST} .token").first
    before = first.get_attribute("aria-label")
    first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#alternatives")).to_be_visible()
    page.locator("#alternatives ol button:enabled").first.click()
    expect(version_label(page, LAST)).to_have_text("2/2")
    wait_until_idle(page)
    assert page.locator(f"{LAST} .token").first.get_attribute("aria-label") != before


def test_a_token_that_is_part_of_a_character_is_shown_as_bytes(page: Any) -> None:
    token = {"token": "\ufffd", "token_id": 5, "logprob": -0.5, "bytes": [0xE4, 0xBD]}
    logprobs = {"content": [{**token, "top_logprobs": [token]}]}
    event = {"choices": [{"index": 0, "delta": {"content": "\ufffd"}, "logprobs": logprobs, "finish_reason": "length"}]}
    body = f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"
    page.route("**/v1/chat/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    send(page, "one")
    page.click(f'{LAST} [data-act="tokens"]')
    expect(page.locator(f"{LAST} .token")).to_have_text(r"\xE4\xBD")
    page.locator(f"{LAST} .token").click()
    expect(page.locator("#alternatives code")).to_have_text(r"\xE4\xBD")


def test_the_exact_prompt(page: Any) -> None:
    send(page, "one")
    page.click(f'{LAST} [data-act="prompt"]')
    expect(page.locator("dialog pre")).to_contain_text("one")
    expect(page.locator("dialog .prompt-token")).not_to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)


def test_enter_in_a_composition_does_not_send(page: Any) -> None:
    page.focus("#input")
    keyboard = page.context.new_cdp_session(page)
    keyboard.send("Input.imeSetComposition", {"text": "nihao", "selectionStart": 5, "selectionEnd": 5})
    enter = 'new KeyboardEvent("keydown", {key: "Enter", isComposing: true, bubbles: true, cancelable: true})'
    page.evaluate(f'document.getElementById("input").dispatchEvent({enter})')
    expect(page.locator("#messages > li")).to_have_count(0)
    keyboard.send("Input.insertText", {"text": "你好"})
    expect(page.locator("#input")).to_have_value("你好")
    page.press("#input", "Enter")
    wait_until_idle(page)
    expect(page.locator(f"{USER} .body")).to_have_text("你好")


def test_hostile_text_stays_text(page: Any, server_url: str) -> None:
    import_conversation(page, server_url, [{"role": "user", "content": HOSTILE}, {"role": "assistant", "content": HOSTILE}])
    for body in page.locator("#messages .body").all():
        expect(body).to_contain_text('<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>')
        expect(body).to_contain_text("(javascript:window.hurt=1)")
        expect(body.locator("img, script, a")).to_have_count(0)
    assert page.evaluate("window.hurt") is None


def test_a_server_error_is_shown_with_the_message(page: Any, console_errors: list[str]) -> None:
    page.route("**/v1/chat/completions", lambda route: route.abort())
    page.fill("#input", "one")
    page.press("#input", "Enter")
    expect(page.locator(f"{LAST} .notice")).to_contain_text("Cannot reach the server")
    page.unroute("**/v1/chat/completions")
    page.click(f'{LAST} [data-act="retry"]')
    expect(page.locator(f"{LAST} .notice")).to_have_count(0)
    wait_until_idle(page)
    console_errors.clear()


def test_the_language_button_switches_to_chinese_permanently(page: Any) -> None:
    page.click("#language")
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(page.locator("#input")).to_have_attribute("placeholder", "输入消息")
    page.reload()
    expect(page.locator("#new")).to_have_text("新对话")


def test_five_hundred_messages_stay_fast(page: Any, server_url: str) -> None:
    messages = [
        {"role": role, "content": f"**{n}** `words` of a list\n\n- one\n- two"}
        for n in range(250)
        for role in ("user", "assistant")
    ]
    import_conversation(page, server_url, messages)
    page.evaluate("window.first = document.querySelector('#messages > li')")
    page.evaluate("""() => {
      const list = document.getElementById("messages");
      window.changed = new Set();
      const findRow = (node) => (node.nodeType === 1 ? node : node.parentElement)?.closest("#messages > li");
      const record = (changes) => changes.forEach(({ target }) => window.changed.add(findRow(target)?.dataset.id ?? "list"));
      new MutationObserver(record).observe(list, { childList: true, subtree: true, characterData: true });
    }""")
    milliseconds = page.evaluate("""async () => {
      const input = document.getElementById("input");
      const start = performance.now();
      for (let i = 0; i < 20; i += 1) {
        input.value += "x";
        input.dispatchEvent(new InputEvent("input", { bubbles: true }));
        await new Promise(requestAnimationFrame);
      }
      return (performance.now() - start) / 20;
    }""")
    assert milliseconds < 500, (
        f"{milliseconds:.0f} ms per keystroke"
    )  # 16 ms on an idle machine; the bound allows for a busy one
    mock_answer(page, "word ", 200)
    send(page, "more")
    expect(page.locator("#messages > li")).to_have_count(502)
    # Only rows at the end may have changed.
    assert page.evaluate("window.changed.size") <= 6
    assert page.evaluate("window.first === document.querySelector('#messages > li')")


def test_on_a_phone_the_sidebar_is_a_drawer(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.click("#open-sidebar")
    expect(page.locator("#new")).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(page.locator("#new")).not_to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_without_a_store_chats_last_as_long_as_the_page(page: Any) -> None:
    page.route("**/api/info", lambda route: route.fulfill(json=route.fetch().json() | {"store": False}))
    page.reload()
    expect(page.locator("#memory-only")).to_be_visible()
    send(page, "one")
    page.click("#new")
    send(page, "two")
    expect(page.locator("#conversations li")).to_have_count(2)
    page.locator("#conversations .open", has_text="one").click()
    expect(page.locator(f"{USER} .body")).to_have_text("one")
    conversation = [{"messages": [{"role": "user", "content": "three"}, {"role": "assistant", "content": "four"}]}]
    file = {"name": "chats.json", "mimeType": "application/json", "buffer": json.dumps(conversation).encode()}
    page.set_input_files("#file", file)
    page.locator("#conversations .open", has_text="three").click()
    expect(page.locator(f"{LAST} .body")).to_have_text("four")


def test_an_api_key_is_requested_until_it_is_correct(page: Any, console_errors: list[str]) -> None:
    def require_key(route: Any) -> None:
        has_key = route.request.headers.get("authorization") == "Bearer secret"
        if route.request.url.endswith("/api/info"):
            info = route.fetch().json()
            route.fulfill(json=info if has_key else {"version": info["version"]})
        elif has_key:
            route.fallback()
        else:
            route.fulfill(status=401, json={"error": {"message": "the key is wrong"}})

    page.route("**/api/info", require_key)
    page.route("**/v1/models", require_key)
    page.reload()
    page.fill("dialog input", "guess")
    page.press("dialog input", "Enter")
    expect(page.locator("dialog .note")).to_have_text("the key is wrong")
    page.fill("dialog input", "secret")
    page.press("dialog input", "Enter")
    wait_until_ready(page)
    console_errors.clear()
