"""Your data: what the page says about it, the file of it, and its deletion in this browser, too."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.server.pages.conftest import new_context, open_page, wait_until_ready
from tests.server.tiny_server import Server, running

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), log_prompts=str, retention=30 * 86400.0) as running_server:
        yield running_server


def ask(page: Any, text: str) -> None:
    page.fill("#input", text)
    page.click("#send")
    expect(page.locator("#messages > li.assistant.last")).to_be_visible()
    expect(page.locator("#stop")).to_be_hidden()


def test_the_dialog_says_what_is_kept_in_both_languages(browser: Any, server_url: str) -> None:
    with open_page(browser, server_url) as page:
        page.click("#data")
        dialog = page.locator("dialog")
        expect(dialog).to_contain_text("This server deletes a chat 30 days after its last change.")
        expect(dialog).to_contain_text("takes out the personal data that it recognizes")
    with open_page(browser, server_url, locale="zh-CN") as page:
        page.click("#data")
        expect(page.locator("dialog")).to_contain_text(
            "对话超过 30天没有改动，此服务器就会将其删除。".replace(" 30天", " 30天")
        )


def test_all_data_are_downloaded_and_then_deleted(browser: Any, server_url: str, tmp_path: Path) -> None:
    with new_context(browser) as context:
        page, other = context.new_page(), context.new_page()
        for tab in (page, other):
            tab.goto(server_url)
            wait_until_ready(tab)
        ask(page, "a zebra asks")
        page.fill("#input", "a zebra drafts")
        page.evaluate("localStorage.setItem('lmcraft-presets', JSON.stringify({zebra: {system: 'zebra', settings: {}}}))")
        page.click("#data")
        with page.expect_download() as download:
            page.click("dialog .buttons button.quiet")
        file = tmp_path / "data.json"
        download.value.save_as(file)
        data = json.loads(file.read_text(encoding="utf-8"))
        (conversation,) = data["conversations"]["conversations"]
        assert conversation["messages"][0]["content"] == "a zebra asks"
        assert [entry["request"]["messages"][0]["content"] for entry in data["logged_prompts"]] == ["a zebra asks"]
        page.click("dialog .buttons button.danger")
        page.locator("dialog form button.danger").click()
        expect(page.locator("#welcome")).to_be_visible()
        wait_until_ready(page)
        expect(page.locator("#input")).to_have_value("")
        expect(page.locator("#conversations li, #conversations a")).to_have_count(0)
        expect(other.locator("#conversations li, #conversations a")).to_have_count(0)
        assert "zebra" not in page.evaluate("JSON.stringify(localStorage)")
        assert httpx.get(f"{server_url}/api/conversations").json()["data"] == []
