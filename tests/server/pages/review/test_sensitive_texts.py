"""Texts that may disturb are blurred until asked for, and are nowhere in the page before."""

from typing import Any

import pytest

from tests.server.pages.review.conftest import open_queue, wait_for_screen
from tests.server.pages.review.scripted_reviews import ScriptedReviews, item

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

SENSITIVE = item("a", ["A terrible secret, 恐怖的秘密."], sensitive=True)


def test_the_text_is_nowhere_until_it_is_asked_for(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, SENSITIVE)
    assert not any(word in page.content() for word in ("terrible", "secret", "恐怖", "neighbor"))
    assert page.locator(".blurred").get_attribute("aria-hidden") == "true"
    page.keyboard.press("b")
    expect(page.locator(".judged")).to_contain_text("A terrible secret")
    page.keyboard.press("b")
    assert "terrible" not in page.content()


@pytest.mark.parametrize("way", ["button", "click", "Enter"])
def test_ways_to_ask_for_it(page: Any, reviews: ScriptedReviews, way: str) -> None:
    open_queue(page, reviews, SENSITIVE)
    button = page.get_by_role("button", name="Show text")
    if way == "button":
        button.click()
    elif way == "click":
        page.locator(".veil").click(position={"x": 10, "y": 10})
    else:
        button.focus()
        page.keyboard.press("Enter")
    expect(page.locator(".judged")).to_contain_text("A terrible secret")
    expect(page.locator(".item")).to_be_focused()


def test_a_held_key_shows_it_for_a_glance(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, SENSITIVE)
    page.keyboard.down("b")
    expect(page.locator(".judged")).to_contain_text("A terrible secret")
    page.keyboard.down("b")  # repeated by the keyboard
    page.wait_for_timeout(450)
    page.keyboard.up("b")
    expect(page.locator(".veil")).to_be_visible()
    assert "terrible" not in page.content()


def test_nobody_judges_what_they_have_not_seen(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, SENSITIVE, {**SENSITIVE, "id": "b"})
    for key in ("2", "a", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("#status")).to_have_text("Show the text first.")
    assert reviews.verdicts == []
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    expect(page.locator(".veil")).to_be_visible()  # the next one is blurred again
    page.keyboard.press("s")
    page.keyboard.press("3")
    wait_for_screen(page, "Nothing to judge right now")
    assert [skip["reason"] for skip in reviews.skips] == ["distress"]
    expect(page.locator(".exposure")).to_contain_text("30 of 200")


def test_a_break_is_suggested_after_many_sensitive_items(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, *({**SENSITIVE, "id": str(n)} for n in range(30)))
    for n in range(24):
        expect(page.locator(".numbers")).to_contain_text(f"{30 - n} in the queue")
        page.keyboard.press("s")
        page.keyboard.press("4")
    expect(page.locator(".review-notice.break")).to_contain_text("break does you good")
    page.get_by_role("button", name="Take a break").click()
    wait_for_screen(page, "Take your time")
