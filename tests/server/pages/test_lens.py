"""The lens of a token: what each layer predicts, below the token's alternatives."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.server.pages.conftest import open_page

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

LAST = "#messages > li.assistant.last"
LENS = "#alternatives .lens"


def lens_of(layers: int, kinds: tuple[str, ...] = ("logit",), *, hidden: int = 0) -> dict[str, Any]:
    """A response of /v1/lens: layer n reads the tokens "n" and "<b>"."""

    def reading(kind: str, layer: int) -> dict[str, Any]:
        texts = (f"{kind[0]}{layer}", "<b>")
        top = [
            {"token": text, "token_id": n, "logprob": -1.0 - n, "bytes": list(text.encode())} for n, text in enumerate(texts)
        ]
        return {"layer": layer, "top_logprobs": top[:1] if hidden else top, "target": {**top[1], "rank": layers - layer}}

    lenses = [{"kind": kind, "layers": [reading(kind, n) for n in range(layers)]} for kind in kinds]
    return {
        "object": "lens",
        "model": "tiny",
        "lenses": lenses,
        "hidden_tokens": hidden,
        "rounding": "int8" if hidden else None,
    }


def answering(value: dict[str, Any], status: int = 200) -> Callable[[Any], None]:
    return lambda route: route.fulfill(body=json.dumps(value), status=status, content_type="application/json")


@pytest.fixture
def page(browser: Any, server_url: str) -> Iterator[Any]:
    with open_page(browser, server_url) as page:
        page.fill("#input", "one")
        page.press("#input", "Enter")
        expect(page.locator(f"{LAST}.live")).to_have_count(0)
        page.click(f'{LAST} [data-act="tokens"]')
        yield page


def open_token(page: Any, index: int = 0) -> None:
    page.locator(f"{LAST} .token").nth(index).press("Enter")
    expect(page.locator("#alternatives")).to_be_visible()


def test_the_lens_of_a_token_by_keyboard(page: Any) -> None:
    open_token(page, 2)
    page.locator(f"{LENS} button").focus()
    with page.expect_request("**/v1/lens") as request:
        page.keyboard.press("Enter")
    rows = page.locator(f"{LENS} tbody tr")
    expect(rows).to_have_count(2)
    expect(page.locator(f"{LENS} table")).to_be_focused()
    expect(page.locator(f"{LENS} [role=status]")).to_have_text("Layers read: 2")
    token = page.locator(f"{LAST} .token").nth(2).get_attribute("title")
    best = page.locator("#alternatives ol button").all_inner_texts()
    chosen = 1 + next(n for n, text in enumerate(best) if "chosen" in text)
    if chosen <= 5:  # it is among the alternatives
        expect(rows.last.locator("td").last).to_have_text(str(chosen))
    assert token.split()[0] in page.locator(f"{LENS} thead").inner_text()
    body = json.loads(request.value.post_data)
    assert body["model"] == "tiny" and len(body["prompt"]) > 2
    page.keyboard.press("Escape")
    expect(page.locator(f"{LAST} .token").nth(2)).to_be_focused()


def test_all_layers_and_both_kinds_on_demand(page: Any) -> None:
    page.route("**/v1/lens", answering(lens_of(30, ("logit", "jacobian"))))
    open_token(page)
    page.click(f"{LENS} button")
    rows = page.locator(f"{LENS} tbody tr")
    expect(rows).to_have_count(8)
    assert rows.first.locator("th").inner_text() == "1" and rows.last.locator("th").inner_text() == "29"
    expect(rows.last.locator("code")).to_have_text(["j29", "<b>"])  # text, never markup
    page.click(f'{LENS} [data-kind="logit"]')
    expect(rows.last.locator("code").first).to_have_text("l29")
    expect(page.locator(f'{LENS} [data-kind="logit"]')).to_be_focused()
    page.click(f'{LENS} [data-kind="all"]')
    expect(rows).to_have_count(30)
    expect(page.locator(f'{LENS} [data-kind="all"]')).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#alternatives")).to_be_in_viewport(ratio=1)


def test_what_the_policy_hides_and_what_fails_is_said(page: Any) -> None:
    page.route("**/v1/lens", answering({"error": {"message": "no", "code": "no_lens"}}, 400))
    open_token(page)
    page.click(f"{LENS} button")
    expect(page.locator(f"{LENS} [role=status]")).to_have_text(
        "Another engine runs this model, so its layers cannot be read."
    )
    page.unroute("**/v1/lens")
    page.route("**/v1/lens", answering(lens_of(2, hidden=3)))
    page.click(f"{LENS} button")
    expect(page.locator(f"{LENS} p.note").first).to_have_text("The policy of this server hides some tokens.")
    expect(page.locator(f"{LENS} p.note").last).to_contain_text("weights rounded to int8")
