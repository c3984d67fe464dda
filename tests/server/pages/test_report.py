"""Reporting an answer from the chat page: what is sent, what the user reads, and what happens when it fails."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server.pages.conftest import new_context, wait_until_ready
from tests.server.pages.review.conftest import wait_for_item
from tests.server.tiny_server import running

pytest.importorskip("sqlalchemy")
from lmcraft.annotation.guidelines.guideline_file import open_guideline
from lmcraft.annotation.store import ReviewStore

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

LAST = "#messages > li.assistant.last"
REPORT = f'{LAST} [data-act="report"]'


@contextmanager
def open_chat(browser: Any, url: str, info: dict[str, bool], **options: Any) -> Iterator[tuple[Any, list[Any]]]:
    """The page with an answer of a server with these fields of /api/info, and the reports that it has received."""
    reports: list[Any] = []
    with new_context(browser, **options) as context:
        page = context.new_page()

        def take_report(route: Any) -> None:
            reports.append(json.loads(route.request.post_data))
            route.fulfill(status=201, json={"id": "item"})

        page.route("**/api/info", lambda route: route.fulfill(json={**route.fetch().json(), **info}))
        page.route("**/api/reports", take_report)
        page.goto(url)
        wait_until_ready(page)
        page.fill("#input", "one")
        page.press("#input", "Enter")
        expect(page.locator(f'{LAST} [data-act="good"]')).to_be_enabled()
        yield page, reports


def test_a_report_names_the_stored_answer_and_is_sent_once(browser: Any, server_url: str) -> None:
    with open_chat(browser, server_url, {"reports": True}) as (page, reports):
        page.click(REPORT)
        expect(page.locator("dialog .note")).to_contain_text("will read this answer, all messages before it")
        page.get_by_label("It exposes personal data").check()
        page.fill("dialog textarea", "  a telephone number ")
        page.click("dialog .main")
        expect(page.locator("dialog")).to_have_count(0)
        expect(page.locator("#toasts")).to_contain_text("will be reviewed")
        message = page.locator(LAST).get_attribute("data-id")
        conversation = page.url.rsplit("#c-")[-1]
        assert reports == [
            {"conversation": conversation, "message": message, "reason": "privacy", "comment": "a telephone number"}
        ]
        expect(page.locator(REPORT)).to_have_attribute("aria-disabled", "true")
        page.click(REPORT, force=True)
        expect(page.locator("dialog")).to_have_count(0)


def test_the_keyboard_suffices_and_a_failed_report_stays(browser: Any, server_url: str) -> None:
    with open_chat(browser, server_url, {"reports": True}, locale="zh-CN") as (page, reports):
        refusal = {"error": {"message": "there is none", "code": "not_found"}}
        page.route("**/api/reports", lambda route: route.fulfill(status=404, json=refusal), times=1)
        page.focus(REPORT)
        page.keyboard.press("Enter")
        expect(page.locator("dialog h2")).to_have_text("举报此回答")
        page.keyboard.press("Space")  # the first reason has the focus
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Tab")
        page.keyboard.type("数字不对")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("dialog [role=alert]")).to_have_text("内容不存在，可能已被删除。")
        expect(page.locator("dialog textarea")).to_have_value("数字不对")
        assert reports == []
        page.keyboard.press("Enter")
        expect(page.locator("dialog")).to_have_count(0)
        assert [(report["reason"], report["comment"]) for report in reports] == [("wrong", "数字不对")]


def test_a_report_without_a_reason_is_not_sent(browser: Any, server_url: str) -> None:
    with open_chat(browser, server_url, {"reports": True}) as (page, reports):
        page.click(REPORT)
        page.click("dialog .main")
        assert page.evaluate("document.querySelector('dialog input').validity.valueMissing")
        page.keyboard.press("Escape")
        expect(page.locator("dialog")).to_have_count(0)
        expect(page.locator(REPORT)).not_to_have_attribute("aria-disabled", "true")
        assert reports == []


def test_where_chats_are_not_saved_the_button_says_so(browser: Any, server_url: str) -> None:
    with open_chat(browser, server_url, {"reports": True, "store": False}) as (page, _):
        expect(page.locator(REPORT)).to_have_attribute("aria-disabled", "true")
        expect(page.get_by_role("button", name="This server does not save chats, so its answers")).to_be_visible()
        page.click(REPORT, force=True)
        expect(page.locator("dialog")).to_have_count(0)


def test_without_reviews_there_is_no_button(browser: Any, server_url: str) -> None:
    with open_chat(browser, server_url, {"reports": False}) as (page, _):
        expect(page.locator(REPORT)).to_have_count(0)


def test_a_reported_answer_reaches_the_reviewers(browser: Any, tmp_path: Path) -> None:
    reviews = ReviewStore.open(tmp_path / "reviews.sqlite")
    reviews.add_guideline(open_guideline("harm"), "owner")
    with running(tmp_path, reviews=reviews) as server, new_context(browser) as context:
        page = context.new_page()
        page.goto(server.url)
        wait_until_ready(page)
        page.fill("#input", "one")
        page.press("#input", "Enter")
        page.click(REPORT)
        page.get_by_label("It is harmful").check()
        page.fill("dialog textarea", "It insults me.")
        page.click("dialog .main")
        expect(page.locator("#toasts")).to_contain_text("will be reviewed")
        page.goto(f"{server.url}/review")
        wait_for_item(page)
        for key in ("b", "1", "a", "Enter"):  # who may still judge it does not see why it is there
            page.keyboard.press(key)
        page.get_by_role("heading", name="Nothing to judge right now").wait_for()
        page.goto(f"{server.url}/review#/items")
        page.locator(".virtual li a").click()
        expect(page.locator(".thread")).to_contain_text("Harmful or offensive")
        expect(page.locator(".thread")).to_contain_text("It insults me.")
        page.keyboard.press("b")
        expect(page.locator(".context")).to_contain_text("one")
