"""What a new user meets first: examples, defaults, presets, hints, and the list of chats."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.pages.conftest import open_page, wait_until_ready

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

LAST = "#messages > li.assistant.last"


@pytest.fixture
def page(browser: Any, server_url: str) -> Iterator[Any]:
    with open_page(browser, server_url) as page:
        yield page


def send(page: Any, text: str) -> dict[str, Any]:
    """Send a message, wait for its answer, and return the body of the request for it."""
    page.fill("#input", text)
    with page.expect_request("**/completions") as request:
        page.press("#input", "Enter")
    expect(page.locator(LAST)).not_to_have_count(0)
    expect(page.locator("#messages .live")).to_have_count(0)
    body: dict[str, Any] = json.loads(request.value.post_data)
    return body


def serve_models(page: Any, **changes: Any) -> None:
    """Have the page see the server's models with other fields."""

    def change(route: Any) -> None:
        info = route.fetch().json()
        route.fulfill(json={**info, "models": [model | changes for model in info["models"]]})

    page.route("**/api/info", change)
    page.reload()
    wait_until_ready(page)


def test_the_message_box_has_the_focus(page: Any) -> None:
    expect(page.locator("#input")).to_be_focused()
    send(page, "one")
    page.locator("#conversations .open").first.click()
    expect(page.locator("#input")).to_be_focused()


@pytest.mark.parametrize("slow", ["**/api/info", "**/api/conversations/*"])
def test_no_message_can_be_typed_before_the_chat_is_open(page: Any, slow: str) -> None:
    send(page, "one")
    expect(page.locator("#conversations .open")).not_to_have_count(0)
    held: list[Any] = []
    page.route(slow, lambda route: held.append(route))
    with page.expect_request(slow):
        page.reload()
    for control in ("#input", "#send", "#attach", "#model"):
        expect(page.locator(control)).to_be_disabled()
    expect(page.locator("#fields > *")).to_have_count(0)
    held[0].continue_()
    page.unroute(slow)
    expect(page.locator("#input")).to_be_focused()
    send(page, "two")
    expect(page.locator("#messages > li")).to_have_count(4)


def test_an_example_goes_into_the_message_box(page: Any) -> None:
    expect(page.locator("#welcome")).to_contain_text("What’s on your mind?")
    page.locator(".examples button").first.click()
    expect(page.locator("#input")).to_have_value("Explain why the sky is blue to a ten-year-old.")
    expect(page.locator("#input")).to_be_focused()


def test_a_base_model_is_offered_texts_to_continue(page: Any) -> None:
    serve_models(page, kind="completion")
    expect(page.locator("#welcome")).to_contain_text("base model")
    expect(page.locator("#input")).to_have_attribute("placeholder", "Type the beginning of a text")
    page.locator(".examples button").first.click()
    expect(page.locator("#input")).to_have_value("Once upon a time, in a village by the sea,")


def test_the_panel_says_which_sampling_applies_to_a_model_without_its_own(page: Any) -> None:
    page.click("#open-panel")
    expect(page.locator("#fields")).to_contain_text("it uses Temperature 0.8, Top p 0.95, Min p 0.05")
    expect(page.locator("#f-temperature")).to_have_attribute("placeholder", "0.8")
    serve_models(page, chat_defaults={})
    page.click("#open-panel")
    expect(page.locator("#fields .note")).to_be_hidden()


def test_an_answer_has_a_limit_and_shows_it(page: Any) -> None:
    body = send(page, "one")
    assert body["max_tokens"] == 256  # half of the context
    expect(page.locator(f"{LAST} .stats")).to_contain_text("of 256 tokens")
    body = send(page, "word " * 60)  # prompt and limit may not fit together: the context is the limit
    assert "max_tokens" not in body
    page.click("#open-panel")
    expect(page.locator("#f-max_tokens")).to_have_attribute("placeholder", "256")
    page.fill("#f-max_tokens", "3")
    page.click("#new")
    assert send(page, "one")["max_tokens"] == 3
    expect(page.locator(f"{LAST} .stats")).to_contain_text("3 of 3 tokens")


def test_settings_and_system_prompt_carry_over_to_the_next_chat(page: Any) -> None:
    page.click("#open-panel")
    page.fill("#f-system", "Be brief.")
    page.fill("#f-temperature", "0.3")
    page.press("#f-temperature", "Tab")
    for _ in range(2):  # a new chat, and a new visit
        page.click("#new")
        expect(page.locator("#f-system")).to_have_value("Be brief.")
        body = send(page, "one")
        assert body["temperature"] == 0.3 and body["messages"][0] == {"role": "system", "content": "Be brief."}
        page.goto("about:blank")
        page.go_back()
        wait_until_ready(page)
        page.click("#open-panel")


def test_presets_are_saved_used_and_deleted(page: Any) -> None:
    page.click("#open-panel")
    page.fill("#f-system", "You are a pirate.")
    page.fill("#f-temperature", "1.5")
    page.get_by_label("Save as a preset").click()
    page.fill("dialog input", "Pirate")
    page.press("dialog input", "Enter")
    page.click("#fields > button.quiet")  # the model's defaults
    page.fill("#f-system", "")
    page.reload()
    page.click("#open-panel")
    page.select_option("#f-preset", "Pirate")
    expect(page.locator("#f-system")).to_have_value("You are a pirate.")
    expect(page.locator("#f-temperature")).to_have_value("1.5")
    page.get_by_label("Delete this preset").click()
    expect(page.locator("#f-preset option")).to_have_text(["None saved yet"])


@pytest.mark.parametrize("saved", ["[]", "null", '"x"', "{not JSON"])
def test_damaged_browser_storage_is_no_obstacle(page: Any, saved: str) -> None:
    page.evaluate("text => { localStorage['lmcraft-last-used'] = text; localStorage['lmcraft-presets'] = text; }", saved)
    page.reload()
    send(page, "one")
    page.click("#open-panel")
    expect(page.locator("#f-preset option")).to_have_count(1)


def test_the_hint_is_shown_until_it_is_read(page: Any) -> None:
    send(page, "one")
    expect(page.locator(".hint")).to_contain_text("exactly what the model read")
    expect(page.locator(f'{LAST} [data-act="tokens"]')).to_have_text("Tokens")
    page.get_by_role("button", name="Got it").click()
    send(page, "two")
    expect(page.locator(".hint")).to_have_count(0)


def test_using_the_token_view_ends_the_hint(page: Any) -> None:
    send(page, "one")
    page.click(f'{LAST} [data-act="tokens"]')
    expect(page.locator(".hint")).to_have_count(0)
    expect(page.locator(f"{LAST} .token").first).to_be_visible()


def test_the_list_shows_dates_and_pins(page: Any, server_url: str) -> None:
    day = 24 * 3600
    ages = {"now": 0, "last night": 1, "this week": 4, "long ago": 400}
    conversations = [{"title": name, "updated": time.time() - days * day, "messages": []} for name, days in ages.items()]
    exported = {"format": "lmcraft-conversations", "version": 1, "conversations": conversations}
    assert page.request.post(f"{server_url}/api/import", data=exported).ok
    page.reload()
    month = time.strftime("%B %Y", time.localtime(time.time() - 400 * day))
    group = page.locator("#conversations section").filter(has=page.locator(".open", has_text="long ago"))
    expect(group.locator("h3")).to_have_text(month)
    for heading in ("Today", "Yesterday", "Previous 7 days"):
        expect(page.locator("#conversations h3", has_text=heading)).to_have_count(1)
    page.get_by_label("Pin: long ago").click()
    expect(group.locator("h3")).to_have_text("Pinned")
    page.reload()
    expect(page.locator("#conversations section").first).to_contain_text("long ago")
    page.get_by_label("Pin: long ago").click()
    expect(group.locator("h3")).to_have_text(month)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("short\nsecond line", "short"),
        ("  two   spaces ", "two spaces"),
        (
            "Explain to me how the immune system of a vertebrate remembers an infection",
            "Explain to me how the immune system of a vertebrate…",
        ),
        ("x" * 100, "x" * 60 + "…"),
    ],
)
def test_titles_are_cut_between_words(page: Any, text: str, title: str) -> None:
    send(page, text)
    expect(page.locator("#title")).to_have_text(title)


def test_chats_of_other_programs_are_imported_and_exported(page: Any) -> None:
    messages = [
        {"id": "0", "type": "root", "role": "system", "content": "", "parent": None},
        {"id": "1", "role": "user", "content": "from llama.cpp", "parent": "0"},
        {"id": "2", "role": "assistant", "content": "**bold**", "parent": "1"},
    ]
    file = {"name": "conversation.json", "mimeType": "application/json"}
    content = json.dumps({"conv": {"name": "Imported chat"}, "messages": messages})
    page.set_input_files("#file", {**file, "buffer": content.encode()})
    page.locator("#conversations .open", has_text="Imported chat").click()
    expect(page.locator(f"{LAST} strong")).to_have_text("bold")
    page.click("#export")
    page.select_option("dialog select", "chatgpt")
    with page.expect_download() as download:
        page.click("dialog .main")
    assert download.value.suggested_filename == "chatgpt-conversations.json"
    exported = json.loads(download.value.path().read_text())
    assert "Imported chat" in [conversation["title"] for conversation in exported]
