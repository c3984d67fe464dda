"""Feedback on the page: thumbs with a reason, blind picks, the dialog."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.pages.conftest import new_context, wait_until_ready
from tests.server.tiny_server import running

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

LAST = "#messages > li.assistant.last"


def ask_the_only_model(route: Any) -> None:
    """The adapter is the model with another seed."""
    body = json.loads(route.request.post_data)
    if body["model"] == "tuned":
        body |= {"model": "tiny", "seed": body["seed"] + 1}
    route.continue_(post_data=json.dumps(body))


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """The page of a server of its own, whose one model it sees as a model and its adapter."""
    with running(tmp_path) as server, new_context(browser) as context:
        page = context.new_page()

        def add_adapter(route: Any) -> None:
            info = route.fetch().json()
            (model,) = info["models"]
            route.fulfill(json={**info, "models": [model, {**model, "id": "tuned", "adapter_of": model["id"]}]})

        page.route("**/api/info", add_adapter)
        page.route("**/v1/chat/completions", ask_the_only_model)
        page.goto(server.url)
        wait_until_ready(page)
        yield page


def send(page: Any, text: str) -> None:
    page.fill("#input", text)
    page.press("#input", "Enter")
    expect(page.locator(".message.assistant")).not_to_have_count(0)
    expect(page.locator("#messages .live")).to_have_count(0)


def pick(page: Any, text: str, side: int) -> None:
    send(page, text)
    page.locator(".pair .main").nth(side).click()
    expect(page.locator(".pair")).to_have_count(0)


def test_one_click_rates_and_the_reason_is_a_line_below(page: Any) -> None:
    send(page, "one")
    page.click(f'{LAST} [data-act="bad"]')
    expect(page.locator(f'{LAST} [data-act="bad"]')).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".reason-form input")).to_be_focused()
    page.fill(".reason-form input", "too long")
    page.press(".reason-form input", "Enter")
    expect(page.locator(".reason-form")).to_have_count(0)
    page.click("#feedback")
    expect(page.locator(".feedback-list li")).to_contain_text("Why: too long")
    page.keyboard.press("Escape")
    page.click(f'{LAST} [data-act="good"]')
    page.press(".reason-form input", "Escape")  # closes the line; the thumb counts
    expect(page.locator(f'{LAST} [data-act="good"]')).to_have_attribute("aria-pressed", "true")
    page.click("#feedback")
    with page.expect_download() as download:
        page.click(".training button.quiet")
    assert json.loads(download.value.path().read_text())["messages"][0]["content"] == "one"


def test_a_blind_pick_reveals_the_models_only_afterwards(page: Any) -> None:
    page.click("#compare")
    expect(page.locator("#second-model")).to_have_value("tuned")
    page.check("#blind")
    send(page, "one")
    expect(page.locator(".pair .model-name")).to_have_text(["A", "B"])
    expect(page.locator('.pair [data-act="tokens"]')).to_have_count(0)
    expect(page.locator(".pair .stats").first).to_be_empty()
    page.reload()
    expect(page.locator(".pair .model-name")).to_have_text(["A", "B"])
    page.locator(".pair .main").first.click()
    expect(page.locator("#toasts")).to_contain_text("You picked")
    expect(page.locator(f"{LAST} .model-name")).not_to_have_text("A")


def test_picks_are_counted_listed_undone_and_become_training_data(page: Any) -> None:
    page.click("#compare")
    for n in range(3):
        page.click("#new")  # three answers would not fit into the context of one chat
        pick(page, f"question {n}", 1)
    page.click("#feedback")
    expect(page.locator(".counts")).to_contain_text("3picks")
    expect(page.locator(".tallies")).to_contain_text("tuned over tiny: 3 of 3 picks, 100% (95% interval")
    expect(page.locator(".command pre").first).to_contain_text(
        "lmcraft finetune tiny preferences.jsonl --objective dpo --out models/tiny-feedback\n"
        "lmcraft serve tiny --adapters.feedback models/tiny-feedback"
    )
    page.locator(".feedback-list .quiet").first.click()
    expect(page.locator(".feedback-list li")).to_have_count(2)
    expect(page.locator(".counts")).to_contain_text("2picks")
    page.get_by_role("button", name="Ratings").click()
    expect(page.locator(".feedback-list")).to_contain_text("None yet")
    page.get_by_role("button", name="All", exact=True).click()
    with page.expect_download() as download:
        page.click(".training button.quiet")
    rows = [json.loads(line) for line in download.value.path().read_text().splitlines()]
    assert [row["prompt"][0]["content"] for row in rows] == ["question 0", "question 1"]
    page.locator(".feedback-list .link").first.click()
    expect(page.locator("dialog")).to_have_count(0)
