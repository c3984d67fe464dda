"""A refusal of the server's policy, on the chat page in both languages."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.moderation.guarded_server import guarded_server
from tests.server.pages.conftest import open_page
from tests.server.scripted_engine import in_words, scripted_engine

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
ANSWER = "#messages > li.assistant"


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    with (
        scripted_engine(lambda body: in_words("Hello. I refuse it.")) as engine,
        guarded_server(tmp_path, upstream=engine.url) as server,
        open_page(browser, server.url, width=1000, height=700) as page,
    ):
        yield page


def test_a_refusal_is_shown_and_explained(page: Any) -> None:
    page.fill("#input", "hi")
    page.press("#input", "Enter")
    expect(page.locator(f"{ANSWER} .body")).to_have_text("Hello.I refuse.")
    expect(page.locator(f"{ANSWER} .note").first).to_have_text("Refused by the policy of this server.")
    assert not page.locator(f"{ANSWER} [data-act='continue']").count()
    page.click("#language")
    expect(page.locator(f"{ANSWER} .note").first).to_have_text("已被此服务器的安全策略拒绝。")
