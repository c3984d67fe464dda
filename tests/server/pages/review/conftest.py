"""The review page over a scripted /api/review."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.server.pages.conftest import new_context
from tests.server.pages.review.scripted_reviews import ScriptedReviews


@pytest.fixture
def reviews() -> ScriptedReviews:
    return ScriptedReviews()


@pytest.fixture(scope="module")
def context(browser: Any) -> Iterator[Any]:
    """A browser profile for the tests of a file; each begins with an empty storage."""
    with new_context(browser) as context:
        yield context


@pytest.fixture
def page(context: Any, server_url: str, reviews: ScriptedReviews) -> Iterator[Any]:
    """A page that has not been opened yet; `open_queue` does."""
    with watched_page(context, reviews) as page:
        page.review_url = f"{server_url}/review"
        yield page
        page.evaluate("localStorage.clear()")


@contextmanager
def watched_page(context: Any, reviews: ScriptedReviews) -> Iterator[Any]:
    """A new page of a profile. Afterwards no exception may have been left uncaught."""
    page = context.new_page()
    exceptions: list[str] = []
    page.on("pageerror", lambda error: exceptions.append(str(error.stack)))
    page.route("**/api/review/**", reviews.handle)
    yield page
    page.unroute_all(behavior="ignoreErrors")
    page.close()
    assert exceptions == []


@contextmanager
def review_page(browser: Any, url: str, reviews: ScriptedReviews, **options: Any) -> Iterator[Any]:
    """The page, opened in a browser profile with these options."""
    with new_context(browser, **options) as context, watched_page(context, reviews) as page:
        page.review_url = f"{url}/review"
        page.goto(page.review_url)
        page.wait_for_selector("#person:not([hidden])")
        yield page


def open_queue(page: Any, reviews: ScriptedReviews, *items: dict[str, Any]) -> None:
    """Fill the queue, and open the page at its first item, or at the message that there is none."""
    reviews.queue = list(items)
    page.goto(page.review_url)
    wait_for_item(page) if items else page.wait_for_selector(".pause")


def wait_for_item(page: Any) -> None:
    """Wait until an item can be judged."""
    page.wait_for_selector(".desk:not([hidden]) .decision[aria-busy=false] .verdict-label")


def wait_for_screen(page: Any, title: str) -> None:
    """Wait until a message stands in place of an item."""
    page.get_by_role("heading", name=title).wait_for()


def expect_request(page: Any, reviews: ScriptedReviews, request: str) -> None:
    """Wait until the page has sent a request."""
    for _ in range(200):
        if request in reviews.requests:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{request} is not among {reviews.requests}")
