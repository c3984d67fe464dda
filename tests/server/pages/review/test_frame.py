"""The frame of the review page: who sees which sections, help, language, theme, the key, and a server that is away."""

from typing import Any

import pytest

from tests.server.pages.review.conftest import review_page
from tests.server.pages.review.scripted_reviews import ScriptedReviews, error

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect


def test_header_language_and_theme(page: Any) -> None:
    expect(page.locator("#tabs a[aria-current]")).to_have_text("Judge")
    expect(page.locator("#person")).to_contain_text("mia")
    page.click("#language")
    expect(page.locator("#tabs a[aria-current]")).to_have_text("审核")
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_help_opens_by_key_and_not_while_typing(page: Any) -> None:
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    page.click("#person")
    expect(page.locator("dialog")).to_contain_text("9 / 10")


def test_an_unknown_section_shows_the_first(page: Any, server_url: str) -> None:
    page.goto(f"{server_url}/review#/nonsense/%E0%A4%A")
    expect(page.locator("#tabs a[aria-current]")).to_have_text("Judge")


def test_the_skip_link_leaves_the_address_alone(page: Any) -> None:
    page.locator("#skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "view"
    assert "#view" not in page.url


def test_no_role_is_explained_and_tried_again(browser: Any, server_url: str, reviews: ScriptedReviews) -> None:
    answer = reviews.answer
    reviews.answer = lambda *request: (403, error("no_role", "the key has no role"))  # type: ignore[method-assign]
    with review_page(browser, server_url, reviews, expect_user=False) as page:
        expect(page.get_by_role("alert").first).to_contain_text("role")
        reviews.answer = answer  # type: ignore[method-assign]
        page.get_by_role("button", name="Retry").click()
        expect(page.locator("#person")).to_contain_text("mia")
