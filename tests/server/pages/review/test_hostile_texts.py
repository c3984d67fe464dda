"""Texts that try to act on the page or the reader: markup, links, characters that reorder or hide, megabytes, long words."""

from typing import Any

import pytest

from tests.server.pages.review.conftest import expect_request, open_queue
from tests.server.pages.review.scripted_reviews import ScriptedReviews, item

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

MARKUP = '<img src="/pages/x.png" onerror="alert(1)"><script>alert(2)</script> [a](https://example.com) ![b](https://example.com/b.png)'
SCROLLS_SIDEWAYS = """() => [...document.querySelectorAll("html, .reading, .item, .judged, .decision, #view")]
  .filter((node) => node.scrollWidth > node.clientWidth + 1).map((node) => node.className || node.localName)"""


def test_markup_is_text(page: Any, reviews: ScriptedReviews) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    messages = [{"role": "<b>user</b>", "content": MARKUP}, {"role": "assistant", "content": None}]
    open_queue(page, reviews, item("a", [MARKUP], messages=messages))
    assert page.locator(".judged").inner_text() == MARKUP
    assert page.locator(".item :is(a, img, script, b)").count() == 0
    assert not any("x.png" in url or "example.com" in url for url in requests)


def test_characters_that_reorder_are_shown(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["pay \u202e001 to me\u2066!\0\u0007 שלום abc"]))
    text = page.locator(".judged").inner_text()
    assert "⟨U+202E⟩" in text
    assert "⟨U+2066⟩" in text
    assert "\u202e" not in text
    assert page.evaluate("getComputedStyle(document.querySelector('.piece')).unicodeBidi") == "plaintext"


def test_invisible_characters_are_counted_and_shown_on_demand(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["k\u200bi\u200bll, but 👩\u200d👧 and می\u200cخواهم stay"]))
    expect(page.locator(".invisible")).to_contain_text("Invisible characters in this text: 2.")
    page.get_by_role("button", name="Show them").click()
    assert page.locator(".judged .piece").inner_text().startswith("k⟨U+200B⟩i⟨U+200B⟩ll, but 👩\u200d👧")


@pytest.mark.parametrize("width", [1280, 390])
def test_long_words_do_not_widen_the_page(page: Any, reviews: ScriptedReviews, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    long_word = "x" * 5000
    open_queue(
        page, reviews, item("a", [long_word], messages=[{"role": long_word, "content": "字" * 3000}], round=long_word)
    )
    assert page.evaluate(SCROLLS_SIDEWAYS) == []


@pytest.mark.parametrize("text", ["many words " * 91_000, "x" * 1_000_000, "line\n" * 200_000, "e\u0301\u0302" * 333_000])
def test_a_megabyte_is_cut_and_can_be_shown(page: Any, reviews: ScriptedReviews, text: str) -> None:
    open_queue(page, reviews, item("a", [text]), item("b", ["short"]))
    assert len(page.locator(".judged").inner_text()) < 50_000
    page.get_by_role("button", name="Show the remaining").click()
    shown = page.evaluate("[...document.querySelectorAll('.judged .piece')].map((node) => node.textContent).join('')")
    assert shown.replace("\n", "") == text.replace("\n", "")
    page.keyboard.press("2")
    expect(page.locator(".labels input:checked")).to_have_value("harmful")
    assert page.evaluate(SCROLLS_SIDEWAYS) == []


def test_a_long_conversation_shows_its_end_first(page: Any, reviews: ScriptedReviews) -> None:
    messages = [{"role": ("user", "assistant")[n % 2], "content": f"message {n} " + "word " * 1000} for n in range(40)]
    open_queue(page, reviews, item("a", ["fine"], messages=messages))
    assert page.locator(".turn").count() == 6
    expect(page.locator(".turn").last).to_contain_text("message 39")
    page.get_by_role("button", name="Show 34 earlier messages").click()
    expect(page.locator(".turn")).to_have_count(40)
    expect(page.locator(".turn").first).to_contain_text("message 0")


def test_an_empty_answer_and_odd_ids(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a/b?c#d%", ["  \n "]))
    expect(page.locator(".judged")).to_have_text("(empty)")
    for key in ("2", "a"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    expect_request(page, reviews, "POST items/a%2Fb%3Fc%23d%25/verdicts")
