"""The page of an explanation in Chromium: no requests, both themes and languages, with and without its script."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from lmcraft.reports.explanation import write_explanation
from tests.reports.explanation.examples import HOSTILE, explanation, long_text
from tests.reports.test_page_in_browser import IS_WIDE
from tests.server.pages.conftest import browser
from tests.server.pages.test_accessibility import FIND_PROBLEMS

pytest.importorskip("axe_playwright_python")
__all__ = ["browser"]

CHOSEN = ".strip.surprise .chosen"


@pytest.fixture(scope="module")
def page_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("explanation") / "page.html"
    write_explanation(path, explanation([*HOSTILE, *long_text(8)]))
    return path.as_uri()


@pytest.mark.parametrize(("language", "theme", "width"), [("en", "light", 1280), ("zh-Hans", "dark", 390)])
def test_the_page_is_accessible_and_asks_for_nothing(
    browser: Any, page_url: str, language: str, theme: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme, bypass_csp=True)
    page = context.new_page()
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(page_url)
    page.wait_for_selector(CHOSEN)
    page.check(f'input[value="{language}"]')
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    assert page.evaluate(FIND_PROBLEMS, None) == []
    page.check(f'input[value="{"dark" if theme == "light" else "light"}"]')
    assert page.evaluate(FIND_PROBLEMS, ["color-contrast"]) == [] and not page.evaluate(IS_WIDE)
    assert requests == [page_url] and errors == [] and page.title() == "Explanation: models/<b>name</b>"
    context.close()


def test_the_policy_of_the_page_lets_its_script_run_and_no_other(browser: Any, page_url: str) -> None:
    page = browser.new_page()
    page.goto(page_url)
    page.wait_for_selector(CHOSEN)  # the script has run
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))")
    assert page.evaluate("window.ran") is None
    page.close()


def test_a_token_is_chosen_by_pointer_and_keys_in_all_views(browser: Any, page_url: str) -> None:
    page = browser.new_page()
    page.goto(page_url)
    page.wait_for_selector(CHOSEN)
    page.click(".strip.surprise bdi:nth-child(3)")
    assert page.locator(".strip .chosen").count() == page.locator(".strip[role]").count() >= 4
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    count = page.locator(".strip.surprise bdi").count()
    assert page.evaluate("document.activeElement.matches('.chosen')")
    for selector in ('[data-panel="surprise"]', "[data-lens-place]", ".chooser"):
        assert f"{count - 2}" in page.inner_text(selector)
    page.keyboard.press("Home")
    assert "no surprise" in page.inner_text('[data-panel="surprise"]')
    page.click(".heat[data-heat=lens-logit]")
    assert page.locator(CHOSEN).count() == 1 and page.locator(".strip.surprise bdi:first-child.chosen").count() == 0
    page.close()


def test_heads_are_sorted_and_drawn(browser: Any, page_url: str) -> None:
    page = browser.new_page()
    page.goto(page_url)
    page.wait_for_selector(CHOSEN)
    page.click(".finder thead th:nth-child(3) button")
    scores = [float(text) for text in page.locator(".finder tbody td:nth-child(3)").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    page.click(".finder tbody tr:nth-child(2) button")
    name = page.inner_text(".finder tbody tr:nth-child(2) th")
    assert name in page.inner_text("[data-head-title]") and "attends to" in page.inner_text("[data-head-status]")
    drawn = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((x) => x)"
    assert page.eval_on_selector("canvas", drawn)
    assert page.locator(".strip.attention bdi:not(.s0)").count() > 0
    page.close()


def test_the_slider_goes_through_training(browser: Any, page_url: str) -> None:
    page = browser.new_page()
    page.goto(page_url)
    page.wait_for_selector(CHOSEN)
    page.focus("#step")
    before = page.locator(".strip.training").inner_html()
    page.keyboard.press("Home")
    assert page.inner_text("[data-step]") == "0" and page.locator(".strip.training").inner_html() != before
    assert page.locator(".steps tr.chosen").inner_text().startswith("0")
    page.close()


def test_without_scripts_every_view_can_be_read(browser: Any, page_url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_url)
    assert page.locator("section").count() == 9
    text = page.inner_text("main")
    for part in (
        "The greatest surprises",
        "Layer by layer",
        "Why they attend",
        "restored",
        "Document 17",
        "Induction forms",
    ):
        assert part in text
    assert not page.is_visible(".slider") and not page.is_visible("canvas")
    context.close()
