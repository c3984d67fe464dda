"""A browser for the tests of a file."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

TIMEOUT_MS = 30_000  # on a busy machine


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
def open_page(browser: Any, url: str, *, width: int = 1280, height: int = 800, init_script: str = "") -> Iterator[Any]:
    """The chat page of a server, with its models, in a context of its own."""
    context = browser.new_context(locale="en-US", viewport={"width": width, "height": height})
    if init_script:
        context.add_init_script(init_script)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(url)
    page.wait_for_selector("#model option", state="attached")
    yield page
    context.close()
