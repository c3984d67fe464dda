"""The page of runs over a scripted /api/runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.server.pages.conftest import new_context
from tests.server.pages.runs.scripted_runs import ScriptedRuns


@pytest.fixture
def runs() -> ScriptedRuns:
    return ScriptedRuns()


@pytest.fixture(scope="module")
def context(browser: Any) -> Iterator[Any]:
    """A browser profile for the tests of a file; each begins with an empty storage."""
    with new_context(browser) as context:
        yield context


@pytest.fixture
def page(context: Any, server_url: str, runs: ScriptedRuns) -> Iterator[Any]:
    """A page that has not been opened yet; `open_runs` does."""
    with watched_page(context, runs, server_url) as page:
        yield page
        page.evaluate("localStorage.clear()")


@contextmanager
def watched_page(context: Any, runs: ScriptedRuns, url: str) -> Iterator[Any]:
    """A new page of a profile. Afterwards no exception may have been left uncaught."""
    page = context.new_page()
    exceptions: list[str] = []
    page.on("pageerror", lambda error: exceptions.append(str(error.stack)))
    page.route("**/api/runs**", runs.handle)
    page.runs_url = f"{url}/runs"
    yield page
    runs.go_down()  # no request stays open
    page.unroute_all(behavior="ignoreErrors")
    page.close()
    assert exceptions == []


def open_runs(page: Any, address: str = "") -> None:
    """Open the list, or another view: `#/run/ID`."""
    page.goto(page.runs_url + address)
    page.wait_for_selector("#view .view")


def open_table(page: Any, chart: str) -> list[list[str]]:
    """The cells of a chart's table, its head first, once it shows points."""
    section = page.locator(f".chart[data-chart='{chart}']")
    section.wait_for()
    if section.locator("[aria-expanded=false]").count():
        section.locator("[aria-expanded=false]").click()
    section.locator("tbody tr").first.wait_for()
    return section.locator("tr").evaluate_all("rows => rows.map((row) => [...row.cells].map((cell) => cell.textContent))")
