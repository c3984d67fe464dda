"""A browser for the tests of a file, and pages in it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

TIMEOUT_MS = 60_000  # on a busy machine
# The page draws the seeds 1, 2, 3, ...: a model writes the same answers in each run of a test. Drawn at random, one answer
# of eighty would end at its first token.
FIXED_SEEDS = """
const draw = crypto.getRandomValues.bind(crypto);
let seed = 0;
const isSeed = (array) => array instanceof Uint32Array && array.length === 1;
crypto.getRandomValues = (array) => (isSeed(array) ? array.fill(2 * ++seed) : draw(array)); // the page halves it
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; skips without it. Not of the whole session: Playwright's event loop would disturb other tests."""
    playwright = pytest.importorskip("playwright.sync_api")
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    playwright.expect.set_options(timeout=TIMEOUT_MS)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def new_context(
    browser: Any, *, locale: str = "en-US", width: int = 1280, height: int = 800, init_script: str = ""
) -> Iterator[Any]:
    """A browser profile of its own: its pages share a storage."""
    context = browser.new_context(locale=locale, viewport={"width": width, "height": height})
    context.set_default_timeout(TIMEOUT_MS)
    context.add_init_script(FIXED_SEEDS)
    if init_script:
        context.add_init_script(init_script)
    try:
        yield context
    finally:
        context.close()


@contextmanager
def open_page(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    """The chat page of a server, ready for a message, in a context with these options."""
    with new_context(browser, **options) as context:
        page = context.new_page()
        page.goto(url)
        wait_until_ready(page)
        yield page


def wait_until_ready(page: Any) -> None:
    """Wait until the page shows a chat. Before, its buttons do nothing, and its message box is disabled."""
    page.wait_for_selector("#input:enabled")


def wait_until_all_is_saved(page: Any) -> None:
    """Wait until the store has all that the page has shown; drafts stay in the browser."""
    page.wait_for_function("""() => {
      const isUnsaved = (key) => key.startsWith("lmcraft-journal") && !key.includes("/draft/");
      return !Object.keys(localStorage).some(isUnsaved);
    }""")
