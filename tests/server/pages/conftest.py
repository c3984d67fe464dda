"""A browser for the tests of a file."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

EXPECT_TIMEOUT_MS = 30_000  # on a busy machine


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; skips without it. Not of the whole session: Playwright's event loop would disturb other tests."""
    playwright = pytest.importorskip("playwright.sync_api")
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    playwright.expect.set_options(timeout=EXPECT_TIMEOUT_MS)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()
