"""The server's errors on the chat page, in Chinese: no sentence of the server's English reaches it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from lmcraft.server.http.keys import Key, Keys
from lmcraft.server.limits import Limits
from tests.server.pages.conftest import new_context, wait_until_ready
from tests.server.tiny_server import Server, running

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
KEY = "lmc-" + "k" * 40
ENGLISH = re.compile(r"(?:\b[a-z]{2,}\b[ ,]+){3}", re.IGNORECASE)  # three words in a row
HELLO = [{"role": "user", "content": "the fox"}]
EXPORT = {"format": "lmcraft-conversations", "version": 1}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, server_url: str) -> Iterator[Server]:
    """A server that demands a key, whose quota is small."""
    plain = next(iter(Keys.read([KEY])))
    keys = Keys([Key("reader", plain.sha256, tokens_per_minute=2000)])
    folder: Path = tmp_path_factory.mktemp("keyed")
    with running(folder, keys=keys, limits=Limits(max_body_bytes=100_000, max_import_bytes=100_000)) as running_server:
        yield running_server


@pytest.fixture
def page(browser: Any, keyed: Server) -> Iterator[Any]:
    with new_context(browser, locale="zh-CN", width=1000) as context:
        page = context.new_page()
        page.goto(keyed.url)
        yield page


def log_in(page: Any, key: str = KEY) -> None:
    page.fill("dialog input", key)
    page.press("dialog input", "Enter")


def provoke_errors(url: str) -> dict[str, dict[str, Any]]:
    """Errors of requests as the page sends them, by a name."""
    client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"})
    chat = {"model": "tiny", "messages": HELLO, "max_tokens": 4}
    message = {"id": "a", "role": "user", "content": "hi"}
    created = client.post("/api/conversations", json={}).json()["id"]
    responses = {
        "no key": httpx.post(url + "/v1/chat/completions", json=chat),
        "wrong key": httpx.get(url + "/v1/models", headers={"Authorization": "Bearer wrong"}),
        "quota": client.post("/v1/chat/completions", json={**chat, "max_tokens": 400, "n": 16}),
        "too long": client.post(
            "/v1/chat/completions", json={**chat, "messages": [{**HELLO[0], "content": "word " * 3000}]}
        ),
        "too many tokens": client.post("/v1/chat/completions", json={**chat, "max_tokens": 10_000}),
        "body": client.post("/v1/chat/completions", json={**chat, "messages": [{**HELLO[0], "content": "x" * 200_000}]}),
        "model": client.post("/v1/chat/completions", json={**chat, "model": "other"}),
        "setting": client.post("/v1/chat/completions", json={**chat, "temperature": -1}),
        "kind": client.post("/v1/chat/completions", json={**chat, "temperature": "warm"}),
        "conversation": client.get("/api/conversations/" + "0" * 32),
        "title": client.patch(f"/api/conversations/{created}", json={"title": "x" * 1000}),
        "import": client.post("/api/import", json={"format": "other", "conversations": []}),
        "role": client.post("/api/import", json=[{"messages": [{"role": "robot", "content": "hi"}]}]),
        "system": client.post("/api/import", json=[{"messages": [message | {"role": "user"}, {"role": "system"}]}]),
        "parent": client.post("/api/import", json={**EXPORT, "conversations": [{"messages": [{**message, "parent": "b"}]}]}),
        "repeated": client.post("/api/import", json={**EXPORT, "conversations": [{"messages": [message, message]}]}),
        "text": client.post("/v1/chat/completions", content=b"{"),
    }
    used_up = [client.post("/v1/chat/completions", json={**chat, "max_tokens": 300, "ignore_eos": True}) for _ in range(12)]
    responses["used up"] = next(response for response in used_up if response.status_code == 429)
    assert all(response.status_code >= 400 for response in responses.values()), responses
    return {name: response.json()["error"] for name, response in responses.items()}


def test_no_error_is_shown_in_english(page: Any, keyed: Server) -> None:
    log_in(page)
    wait_until_ready(page)
    errors = provoke_errors(keyed.url)
    texts = page.evaluate(
        """async (errors) => {
          const module = performance.getEntriesByType("resource").find(({ name }) => name.endsWith("/error_texts.js")).name;
          const { wordError } = await import(module);
          return errors.map(wordError);
        }""",
        list(errors.values()),
    )
    words = dict(zip(errors, texts, strict=True))
    english = {name: text for name, text in words.items() if ENGLISH.search(text) or not re.search("[一-鿿]", text)}
    assert not english
    assert "2,000" in words["quota"] and "512" in words["too long"] and "第 1 项" in words["parent"]


def test_a_wrong_key_a_long_chat_and_a_wrong_file_are_explained_in_chinese(page: Any, keyed: Server) -> None:
    log_in(page, "wrong")
    expect(page.locator("dialog")).to_contain_text("API 密钥不正确")
    log_in(page)
    wait_until_ready(page)
    page.fill("#input", "word " * 1000)
    page.press("#input", "Enter")
    expect(page.locator("#messages .notice")).to_contain_text("对话过长")
    page.click("#language")
    expect(page.locator("#messages .notice")).to_contain_text("This chat is too long")
    page.click("#language")
    expect(page.locator("#messages .notice")).to_contain_text("对话过长")
    file = {
        "name": "chats.json",
        "mimeType": "application/json",
        "buffer": b'[{"messages": [{"role": "robot", "content": "hi"}]}]',
    }
    page.set_input_files("#file", file)
    expect(page.locator("#toasts")).to_contain_text("messages[0].role")
    for selector in ("#toasts", "#messages .notice"):
        assert not ENGLISH.search(page.locator(selector).inner_text())


def test_the_language_button_is_named_as_it_looks(page: Any) -> None:
    button = page.locator("#language")
    log_in(page)
    wait_until_ready(page)
    for other_language in ("English", "中文"):
        expect(button).to_have_text(other_language)
        expect(button).to_have_accessible_name(button.inner_text())
        button.click()
