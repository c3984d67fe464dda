"""The settings panel: a control for each setting, and the request fields it sends."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lmcraft.inference.generation_settings import panel_settings
from tests.server.pages.conftest import open_page

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect


@pytest.fixture(scope="module")
def page(browser: Any, server_url: str) -> Iterator[Any]:
    with open_page(browser, server_url, width=1200) as page:
        page.click("#open-panel")
        page.click("#fields summary")
        yield page


def test_the_panel_has_every_setting_with_its_bounds_and_default(page: Any) -> None:
    for setting in panel_settings():
        control = page.locator(f"#f-{setting['name']}")
        expect(control).to_be_visible()
        assert control.get_attribute("placeholder") is not None
        if setting["kind"] != "texts":
            assert control.get_attribute("min") == str(setting["minimum"])
        expect(page.locator(f"label[for='f-{setting['name']}']")).to_have_text(setting["label"]["en"])
        expect(page.locator(f"#f-{setting['name']}-more")).to_have_text(setting["help"]["en"])
    expect(page.locator("#f-dry_base")).to_have_attribute("placeholder", "1.75")
    assert page.locator("#f-dry_sequence_breakers").get_attribute("placeholder").split("\n") == ["\\n", ":", '"', "*"]


def test_settings_are_sent_with_the_message(page: Any) -> None:
    values = {"dry_multiplier": 0.8, "top_n_sigma": 1.5, "dry_penalty_last_n": -1, "max_tokens": 4}
    for name, value in values.items():
        page.fill(f"#f-{name}", str(value))
    page.fill("#f-dry_sequence_breakers", "\\n\n。")
    page.fill("#f-dry_base", "0.5")  # below the minimum: not sent
    page.fill("#input", "Hi")
    with page.expect_response("**/v1/chat/completions") as response:
        page.press("#input", "Enter")
    assert response.value.status == 200
    body = json.loads(response.value.request.post_data)
    assert {name: body[name] for name in values} == values
    assert body["dry_sequence_breakers"] == ["\n", "。"] and "dry_base" not in body
    page.click("#fields > button.quiet")
    expect(page.locator("#f-dry_multiplier")).to_have_value("")


def test_the_panel_is_translated_into_chinese(page: Any) -> None:
    page.click("#language")
    for setting in panel_settings():
        expect(page.locator(f"label[for='f-{setting['name']}']")).to_have_text(setting["label"]["zh"])
        expect(page.locator(f"#f-{setting['name']}-more")).to_have_text(setting["help"]["zh"])
