"""The frame of the review page: who sees which sections, help, language, theme, the key, and a server that is away."""

from typing import Any

import pytest

from tests.server.pages.review.conftest import open_queue
from tests.server.pages.review.scripted_reviews import ScriptedReviews, error

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect


def test_header_language_and_theme(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews)
    expect(page.locator("#tabs a[aria-current]")).to_have_text("Judge")
    expect(page.locator("#person")).to_contain_text("mia")
    page.click("#language")
    expect(page.locator("#tabs a[aria-current]")).to_have_text("审核")
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_dialogs_of_keys_and_of_the_user(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews)
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    page.click("#person")
    expect(page.locator("dialog")).to_contain_text("9 / 10")


def test_an_unknown_section_shows_the_first(page: Any, reviews: ScriptedReviews) -> None:
    page.goto(f"{page.review_url}#/nonsense/%E0%A4%A")
    expect(page.locator("#tabs a[aria-current]")).to_have_text("Judge")


def test_the_skip_link_leaves_the_address_alone(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews)
    page.locator("#skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "view"
    assert "#view" not in page.url


def test_no_role_is_explained_and_tried_again(page: Any, reviews: ScriptedReviews) -> None:
    answer = reviews.answer
    reviews.answer = lambda *request: (403, error("no_role", "the key has no role"))  # type: ignore[method-assign]
    page.goto(page.review_url)
    expect(page.locator("#view [role=alert]")).to_contain_text("role")
    reviews.answer = answer  # type: ignore[method-assign]
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#person")).to_contain_text("mia")


def test_a_key_is_asked_for_and_can_be_changed(page: Any, reviews: ScriptedReviews) -> None:
    answer = reviews.answer
    reviews.answer = lambda *request: (401, error("missing_api_key", "a key is needed"))  # type: ignore[method-assign]
    page.goto(page.review_url)
    page.get_by_role("dialog").get_by_role("textbox").fill("secret")
    reviews.answer = answer  # type: ignore[method-assign]
    page.keyboard.press("Enter")
    page.click("#person")
    page.get_by_role("button", name="Use another key").click()
    page.wait_for_function("() => sessionStorage.getItem('lmcraft-key') === null")
    expect(page.locator("#person")).to_contain_text("mia")
