"""The header of an owner, who has all sections, at the widths at which it changes."""

from typing import Any

import pytest

from tests.server.pages.conftest import new_context
from tests.server.pages.review.conftest import open_queue, watched_page
from tests.server.pages.review.scripted_reviews import ScriptedReviews

OVERLAPS = """() => {
  const nodes = [...document.querySelectorAll("#bar :is(button, a, .brand)")].filter((node) => node.offsetWidth);
  const boxes = nodes.map((node) => [node.textContent, node.getBoundingClientRect()]);
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const list = ([name, a], i) => boxes.slice(i + 1).filter(([, b]) => meet(a, b)).map(([other]) => `${name} and ${other}`);
  const pairs = boxes.flatMap(list);
  return [...pairs, ...(document.documentElement.scrollWidth > innerWidth ? ["wide"] : [])];
}"""


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_nothing_overlaps(browser: Any, server_url: str, locale: str) -> None:
    reviews = ScriptedReviews(role="owner", name="a person whose name is long, even very long")
    with new_context(browser, locale=locale) as context, watched_page(context, reviews) as page:
        page.review_url = f"{server_url}/review"
        open_queue(page, reviews)
        for width in (1600, 1280, 1250, 1240, 1000, 992, 700, 640, 390, 320):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(OVERLAPS) == [], width
