"""Every state of the judge view by axe, in both languages and themes, as wide as a desk and as narrow as a phone."""

from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import pytest

from tests.server.pages.conftest import new_context
from tests.server.pages.review.axe_checks import check
from tests.server.pages.review.conftest import open_queue, wait_for_item, watched_page
from tests.server.pages.review.scripted_reviews import BETTER, ScriptedReviews, item

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("axe_playwright_python")
expect = playwright.expect

TEXT = "A long answer with a word that is muchtoolongforthewidthofatelephoneandhastobebrokensomewhere. " * 30


@pytest.fixture(params=["en-US", "zh-CN"])
def page(browser: Any, server_url: str, request: Any, reviews: ScriptedReviews) -> Iterator[Any]:
    with new_context(browser, locale=request.param) as context, watched_page(context, reviews) as page:
        page.review_url = f"{server_url}/review"
        page.add_init_script((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
        yield page


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def lose_the_claim(page: Any, reviews: ScriptedReviews) -> None:
    reviews.gone_leases = {"token-a"}
    press(page, "b", "2", "a", "Enter")
    expect(page.locator(".review-notice.problem")).to_be_visible()


def lose_the_server(page: Any, reviews: ScriptedReviews) -> None:
    reviews.is_up = False
    press(page, "b", "2", "a", "Enter")
    expect(page.locator(".pause")).to_be_visible()


STATES: dict[str, Callable[[Any, ScriptedReviews], Any]] = {
    "blurred": lambda page, reviews: None,
    "shown": lambda page, reviews: press(page, "b"),
    "cited": lambda page, reviews: press(page, "b", "2", "a"),
    "search": lambda page, reviews: press(page, "b", "2", "/", "q"),
    "skipping": lambda page, reviews: press(page, "s"),
    "escalating": lambda page, reviews: press(page, "e"),
    "keys": lambda page, reviews: press(page, "?"),
    "user": lambda page, reviews: page.click("#person"),
    "pause": lambda page, reviews: press(page, "p"),
    "expired": lose_the_claim,
    "away": lose_the_server,  # the last: it comes back with a verdict that takes the item away
}


def test_every_state_of_an_item(page: Any, reviews: ScriptedReviews) -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": f"Hello\u200b {TEXT}"}]
    open_queue(page, reviews, item("a", [TEXT], messages=messages, sensitive=True, round="r1"))
    for number, (state, open_state) in enumerate(STATES.items()):
        if number:
            draw_again(page)
        reviews.gone_leases = set()
        open_state(page, reviews)
        check(page, state)


def draw_again(page: Any) -> None:
    """The item as it was at first. To load the page again would take ten times as long as what is tested."""
    page.evaluate("for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close()")
    page.evaluate("location.hash = '#/guidelines'")
    expect(page.locator(".view.guidelines h1")).to_be_visible()
    page.evaluate("localStorage.clear(); location.hash = '#/judge'")
    wait_for_item(page)


def test_pairs_empty_queue_and_cap(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", [TEXT, TEXT], guideline=BETTER))
    press(page, "1")
    check(page, "pair")
    open_queue(page, reviews)
    check(page, "empty queue")
    reviews.empty_reason = "exposure_cap"
    page.reload()
    expect(page.locator(".pause")).to_be_visible()
    check(page, "cap")


def test_the_menu_of_sections(page: Any, reviews: ScriptedReviews) -> None:
    reviews.role = "owner"
    page.set_viewport_size({"width": 390, "height": 844})
    open_queue(page, reviews)
    page.click("#menu")
    expect(page.locator("#tabs")).to_be_visible()
    check(page, "menu")
