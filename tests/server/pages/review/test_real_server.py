"""Every section against a real server and a real store, whose answers a scripted one could only imitate."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.pages.conftest import new_context
from tests.server.tiny_server import Server, running

pytest.importorskip("sqlalchemy")
from lmcraft.annotation.agreement.calibration import open_round
from lmcraft.annotation.guidelines.guideline_file import parse_guideline
from lmcraft.annotation.store import ReviewStore
from tests.annotation.samples import add_texts, judge_next
from tests.server.pages.review.conftest import wait_for_item

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

NO_MODEL = "http://127.0.0.1:9"
GUIDELINE = """+++
name = "tone"
kind = "label"
title = {{ en = "Tone \u202eenot" }}
reviews = 2
labels = [
  {{ name = "acceptable", outcome = "accept", title = {{ en = "Fine \u202eenif" }} }},
  {{ name = "harmful", outcome = "reject", title = {{ en = "Rude" }} }},
]
+++

# Tone

## H1 Insults \u202estlusni

{rule} \u202eelur
"""
SECTIONS = {
    "judge": ".item",
    "adjudicate": ".evidence",
    "items": ".virtual li",
    "agreement": ".figures",
    "guidelines": ".touched li",
    "guidelines/tone/1": ".view.guidelines .markdown",
    "guidelines/tone/edit": ".guideline-editor",
    "rounds": ".round-list li",
    "settings": ".setting",
}
FIND_REVERSED = r"() => document.body.innerText.match(/.*[\u202a-\u202e\u2066-\u2069].*/g) ?? []"


def fill(store: ReviewStore) -> str:
    """A guideline in two versions, disputed items, and a calibration round that nobody has begun; returns its id."""
    first, second = (parse_guideline(GUIDELINE.format(rule=rule), {}) for rule in ("Old", "New"))
    store.add_guideline(first, "owner")
    add_texts(store, *(f"Item {n}" for n in range(6)), guideline=first)
    for person, label in (("bob", "harmful"), ("eve", "acceptable")) * 2:
        judge_next(store, person, label)
    store.add_guideline(second, "owner")
    return str(open_round(store, "round \u202ednuor", "tone", "owner", count=2)["id"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("reviews")
    reviews = ReviewStore.open(folder / "reviews.sqlite")
    SECTIONS[f"rounds/{fill(reviews)}"] = ".view.rounds h1"
    with running(folder, reviews=reviews, upstream=NO_MODEL) as server:
        yield server


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """The page of the owner. Afterwards no exception may have been left uncaught."""
    with new_context(browser) as context:
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error.stack)))
        page.on("response", lambda response: response.ok or problems.append(f"{response.status} {response.url}"))
        page.goto(f"{server.url}/review")
        yield page
        assert problems == []


def show(page: Any, address: str, selector: str) -> None:
    page.evaluate("(address) => { location.hash = address; }", f"#/{address}")
    expect(page.locator(selector).first).to_be_visible()


def test_every_section_opens_and_no_text_reorders_others(page: Any) -> None:
    for address, selector in SECTIONS.items():
        show(page, address, selector)
        assert page.evaluate(FIND_REVERSED) == [], address
        assert "U+202E" in page.locator("body").inner_text() or address == "settings", address


def test_the_editor_shows_changes_of_settings_too(page: Any) -> None:
    show(page, "guidelines/tone/edit", ".guideline-editor")
    area = page.get_by_label("English")
    area.fill(area.input_value().replace("reviews = 2", "reviews = 3"))
    page.get_by_role("button", name="Show the changes").click()
    expect(page.locator(".changes h4")).to_have_text(["Settings"])
    expect(page.locator(".changes ins")).to_have_text("3")
    page.get_by_role("link", name="Cancel").click()


def test_a_round_that_nobody_has_begun_is_not_called_done(page: Any) -> None:
    show(page, "rounds", ".round-list li")
    page.locator(".round-list a").click()
    page.get_by_role("button", name="Reveal the votes").click()
    expect(page.locator("dialog")).to_contain_text("Nobody has voted yet.")
    page.keyboard.press("Escape")


def test_the_list_of_items_by_keys_alone(page: Any) -> None:
    show(page, "items", ".virtual li")
    page.locator(".virtual").get_by_role("link").nth(1).wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    opened = page.evaluate("document.activeElement.href")
    assert "#/items/" in opened
    page.keyboard.press("Enter")
    expect(page.locator(".history")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".virtual li a:focus")).to_have_attribute("href", opened.partition("review")[2])
    page.keyboard.press("/")
    page.keyboard.type("item")
    expect(page.locator(".list-notes [role=status]")).to_have_text("6 items")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".virtual li a:focus")).to_have_count(1)


def test_an_item_that_was_judged_in_another_tab(page: Any) -> None:
    other = page.context.new_page()
    other.goto(page.url.partition("#")[0])
    for tab in (page, other):
        wait_for_item(tab)
    for key in ("1", "a", "Enter"):
        page.keyboard.press(key)
    expect(other.locator(".review-notice.problem")).to_contain_text("decided about this item in another tab")
    other.get_by_role("button", name="Next item").click()
    expect(other.locator(".review-notice.problem")).to_have_count(0)
    wait_for_item(other)
