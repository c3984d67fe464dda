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


@contextmanager
def review_page(
    browser: Any, url: str, reviews: ScriptedReviews, *, expect_user: bool = True, **options: Any
) -> Iterator[Any]:
    """The page of somebody who reviews. Afterwards no exception may have been left uncaught."""
    with new_context(browser, **options) as context:
        page = context.new_page()
        exceptions: list[str] = []
        page.on("pageerror", lambda error: exceptions.append(str(error.stack)))
        page.route("**/api/review/**", reviews.handle)
        page.goto(f"{url}/review")
        if expect_user:
            page.wait_for_selector("#person:not([hidden])")
        yield page
        assert exceptions == []


@pytest.fixture
def page(browser: Any, server_url: str, reviews: ScriptedReviews) -> Iterator[Any]:
    with review_page(browser, server_url, reviews) as page:
        yield page
