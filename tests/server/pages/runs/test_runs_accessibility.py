"""The views of the page of runs by axe, in both languages and themes, as wide as a desk and as narrow as a phone."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from tests.server.pages.conftest import new_context
from tests.server.pages.review.axe_checks import check
from tests.server.pages.runs.conftest import open_runs, open_table, watched_page
from tests.server.pages.runs.scripted_runs import ScriptedRuns, curves, run

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("axe_playwright_python")
expect = playwright.expect

LONG_NAME = "aRunWithANameThatIsMuchTooLongForTheWidthOfATelephoneAndThatHasNoSpaces"


@pytest.fixture(params=["en-US", "zh-CN"])
def page(browser: Any, server_url: str, request: Any, runs: ScriptedRuns) -> Iterator[Any]:
    with new_context(browser, locale=request.param) as context, watched_page(context, runs, server_url) as page:
        page.add_init_script((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
        yield page


def test_every_view(page: Any, runs: ScriptedRuns) -> None:
    open_runs(page)
    expect(page.locator(".pause")).to_be_visible()
    check(page, "no runs")
    for name, state in (("a", "running"), ("b", "paused"), ("c", "stopped"), ("d", "finished"), ("f", "killed")):
        runs.add(run(name, state), samples=[{"step": 5, "text": "Once upon a time " * 90}], series=curves(120))
    runs.add(run(LONG_NAME, "failed", message=f"{LONG_NAME} is not a number"), settings={LONG_NAME: LONG_NAME}, series={})
    page.locator(".runs-table tbody input").first.check()
    check(page, "list")
    page.keyboard.press("?")
    check(page, "keys")
    page.keyboard.press("Escape")
    open_runs(page, f"#/run/{LONG_NAME}")
    check(page, "run without curves")
    open_runs(page, "#/run/a")
    open_table(page, "loss")
    page.locator("[data-chart=loss] .plot").hover(position={"x": 150, "y": 50})
    check(page, "run")
    page.click("[data-act=stop]")
    check(page, "stop")
    open_runs(page, f"#/compare/a/b/c/d/f/{LONG_NAME}")
    page.locator("[data-chart=loss]").wait_for()
    check(page, "comparison")
    runs.go_down()
    expect(page.locator("#connection")).to_be_visible()
    check(page, "away")
