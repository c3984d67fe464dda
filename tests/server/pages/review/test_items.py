"""The list of items: filters, paging, a hundred thousand rows by keyboard, who holds what; and the page of an item."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.pages.review.conftest import expect_request, review_page
from tests.server.pages.review.scripted_management import (
    CREATED,
    ScriptedManagement,
    guideline_versions,
    stored_item,
    verdict,
)

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

ROW = ".virtual li"


@pytest.fixture
def management() -> ScriptedManagement:
    return ScriptedManagement()


@pytest.fixture
def page(browser: Any, server_url: str, management: ScriptedManagement) -> Iterator[Any]:
    with review_page(browser, server_url, management) as page:
        open_list(page)
        yield page


def open_list(page: Any) -> None:
    page.click("#tabs a[data-name=items]")
    expect(page.locator(".list-bar")).to_be_visible()


def test_few_rows_are_in_the_document_and_all_can_be_reached(page: Any, management: ScriptedManagement) -> None:
    expect(page.locator(".list-notes .note").first).to_have_text("200 of 300 items loaded")
    expect(page.locator(ROW).first).to_contain_text("Answer 0")
    assert page.locator(ROW).count() < 50
    page.locator(f"{ROW} a").first.focus()
    page.keyboard.press("End")
    expect(page.locator(f"{ROW} a:focus")).to_contain_text("Answer 199")
    expect(page.locator(".list-notes .note").first).to_have_text("300 items")
    page.keyboard.press("End")
    expect(page.locator(f"{ROW} a:focus")).to_contain_text("Answer 299")
    page.keyboard.press("ArrowUp")
    expect(page.locator(f"{ROW} a:focus")).to_contain_text("Answer 298")
    assert page.locator(ROW).count() < 50
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("Item")
    page.keyboard.press("Escape")  # back to the same rows
    expect(page.get_by_text("Answer 298")).to_be_visible()
    page.keyboard.press("PageUp")


def test_filters_and_search(page: Any, management: ScriptedManagement) -> None:
    management.items[5]["source"] = "report"
    page.locator(".pill[data-name=disagreed]").click()
    expect(page.locator(ROW).first).to_contain_text("Answer 2")
    expect(page.locator(".pill[data-name=disagreed]")).to_be_focused()
    page.locator(".pill[data-name=all]").click()
    page.get_by_label("Source").select_option("report")
    expect(page.locator(ROW)).to_have_count(1)
    page.get_by_label("Source").select_option("")
    page.keyboard.press("Escape")
    page.locator("#view").focus()
    page.keyboard.press("/")
    page.keyboard.type("Answer 17:")
    expect(page.locator(ROW)).to_have_count(1)
    page.keyboard.type("nothing")
    expect(page.locator(".list-notes .note").first).to_have_text("No items match.")
    page.get_by_role("searchbox").fill("")
    expect(page.locator(ROW).first).to_contain_text("Answer 0")


def test_who_holds_what_is_live(page: Any, management: ScriptedManagement) -> None:
    expect(page.locator(".held")).to_be_empty()
    management.items[3].update(holder="李雷", lease_expires=2e9)
    expect(page.locator(".held")).to_have_text("In review now: 李雷")
    expect(page.locator(ROW).nth(3)).to_contain_text("with 李雷")
    management.items.append(stored_item(301, state="pending"))
    page.get_by_role("button", name="The queue has changed").click()
    expect(page.get_by_role("button", name="The queue has changed")).to_have_count(0)


def test_sensitive_texts_are_hidden_until_asked_for(browser: Any, server_url: str, management: ScriptedManagement) -> None:
    management.guidelines = guideline_versions()
    management.items[0].update(sensitive=True)
    with review_page(browser, server_url, management) as page:
        open_list(page)
        expect(page.locator(ROW).first).to_contain_text("Sensitive text, hidden")
        expect(page.get_by_text("Answer 0")).to_have_count(0)
        page.get_by_label("Show sensitive texts").check()
        expect(page.locator(ROW).first).to_contain_text("Answer 0")
        page.get_by_label("Show sensitive texts").uncheck()
        page.locator(f"{ROW} a").first.click()
        expect(page.locator(".hidden-texts")).to_be_visible()
        expect(page.get_by_text("Answer 0")).to_have_count(0)
        page.keyboard.press("b")
        expect(page.get_by_text("Answer 0")).to_be_visible()
        page.keyboard.press("b")
        expect(page.get_by_text("Answer 0")).to_have_count(0)


def test_an_item_shows_everything_and_hostile_text_stays_text(page: Any, management: ScriptedManagement) -> None:
    hostile = "<img src=x onerror=alert(1)>\u202e[a](javascript:1)"
    votes = [
        verdict("mia", "harmful", "H1", comment=hostile, final=True, correction="Better.", contains=["please"]),
        verdict("tom", "gone", "H99", excludes=["fool"], version=7),
    ]
    management.items[0].update(
        label="harmful", rule="H1", verdicts=votes, decision={"action": "flag"}, state="adjudicated",
        reports=[{"reason": "privacy", "comment": hostile, "created": CREATED}],
    )  # fmt: skip
    page.locator(f"{ROW} a").first.click()
    expect(page.locator(".facts")).to_contain_text("Harmful H1 Insults and contempt")
    expect(page.locator(".verdicts > li")).to_have_count(2)
    expect(page.locator(".verdicts")).to_contain_text("Made with version 7")
    expect(page.locator(".thread")).to_contain_text("Exposes personal data")
    expect(page.locator(".history")).to_contain_text("Added to the queue")
    page.get_by_text("Row 1 of the audit log").click()
    expect(page.locator(".history pre")).to_contain_text('"state": "pending"')
    assert page.locator("img").count() == 0
    page.click("#language")
    expect(page.locator(".verdicts")).to_contain_text("最终判定")


def test_the_owner_takes_back_and_returns_items(page: Any, management: ScriptedManagement) -> None:
    management.items[0].update(claim={"holder": "mia", "expires": 2e9}, holder="mia")
    page.locator(f"{ROW} a").first.click()
    page.get_by_role("button", name="Take it back from the reviewer").click()
    expect(page.get_by_role("button", name="Take it back from the reviewer")).to_have_count(0)
    page.goto(page.url.replace("item000000", "item000005"))  # skipped
    page.get_by_role("button", name="Return it to the queue").click()
    page.fill("dialog textarea", "A translation exists now.")
    page.click("dialog .main")
    expect(page.locator(".title .badge")).to_have_text("Pending")
    expect_request(page, management, "POST items/item000005/requeue")


def test_an_adjudicator_cannot_take_items_back(browser: Any, server_url: str) -> None:
    management = ScriptedManagement(role="adjudicator")
    management.items[0].update(claim={"holder": "mia", "expires": 2e9})
    with review_page(browser, server_url, management) as page:
        expect(page.locator("#tabs a")).to_have_count(6)
        open_list(page)
        page.locator(f"{ROW} a").first.click()
        expect(page.locator(".facts")).to_contain_text("mia, until")
        expect(page.get_by_role("button", name="Take it back from the reviewer")).to_have_count(0)


def test_a_server_that_is_away_for_a_moment(page: Any, management: ScriptedManagement) -> None:
    management.is_up = False
    page.get_by_label("Source").select_option("report")
    expect(page.locator("#toasts")).to_contain_text("Cannot reach the server")
    management.is_up = True
    page.get_by_label("Source").select_option("server")
    expect(page.locator(ROW).first).to_contain_text("Answer 0")


def test_an_unknown_item_is_explained(browser: Any, server_url: str) -> None:
    with review_page(browser, f"{server_url}", ScriptedManagement()) as page:
        page.goto(f"{server_url}/review#/items/nothing%2Fsuch")
        expect(page.get_by_role("alert").first).to_contain_text("It may have been deleted")
