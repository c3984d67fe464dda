"""The agreement dashboard and the settings."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.pages.review.conftest import expect_request, review_page
from tests.server.pages.review.scripted_management import EMPTY_REPORT, REPORT, ScriptedManagement

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect


@pytest.fixture
def management() -> ScriptedManagement:
    return ScriptedManagement()


@pytest.fixture
def page(browser: Any, server_url: str, management: ScriptedManagement) -> Iterator[Any]:
    with review_page(browser, server_url, management) as page:
        yield page


def open_section(page: Any, name: str) -> None:
    page.click(f"#tabs a[data-name={name}]")
    expect(page.locator(f".view.{name} h1")).to_be_visible()


def test_measures_with_intervals_and_what_they_mean(page: Any) -> None:
    open_section(page, "agreement")
    measures = page.locator(".measure")
    expect(measures).to_have_count(4)
    expect(measures.nth(0)).to_contain_text("0.71")
    expect(measures.nth(0)).to_contain_text("95% interval 0.61 to 0.80")
    expect(measures.nth(0)).to_contain_text("cautious conclusions. But it may be as low as 0.61.")
    expect(measures.nth(1)).to_contain_text("86%")
    expect(measures.nth(3)).to_contain_text("on the 520 items with exactly 2 votes")
    expect(page.locator(".findings li")).to_have_count(3)
    expect(page.locator(".findings")).to_contain_text("Rule H2 is unclear: 42% of the items")
    expect(page.locator(".findings")).to_contain_text("李雷 is right on 42% of the items with a known verdict")
    reviewers = page.get_by_role("table", name="Reviewers", exact=True)
    expect(reviewers).to_contain_text("28 of 30")
    expect(reviewers.get_by_role("row", name="李雷")).to_contain_text("differs")
    page.get_by_text("How mia labels").first.click()
    expect(page.locator(".shade").first).to_have_text("96%")
    expect(page.get_by_role("table", name="Rules", exact=True)).to_contain_text("H2 Instructions for violence")


def test_it_is_live_and_keeps_what_is_open(page: Any, management: ScriptedManagement) -> None:
    open_section(page, "agreement")
    page.get_by_text("How mia labels").first.click()
    page.get_by_text("How mia labels").first.focus()
    management.report = REPORT | {"votes": 1235}
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as when the tab is seen again
    expect(page.locator(".counts")).to_contain_text("1,235")
    expect(page.locator("details[open]")).to_have_count(1)
    assert page.evaluate("document.activeElement.textContent") == "How mia labels"
    management.is_up = False
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator(".title .note")).to_contain_text("Not up to date: Cannot reach the server.")
    expect(page.locator(".counts")).to_contain_text("1,235")


def test_a_hidden_tab_asks_nothing(page: Any, management: ScriptedManagement) -> None:
    open_section(page, "agreement")
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    count = len(management.requests)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(200)
    assert len(management.requests) == count


def test_without_votes_there_are_dashes_and_no_nan(page: Any, management: ScriptedManagement) -> None:
    management.report = EMPTY_REPORT
    open_section(page, "agreement")
    expect(page.locator(".measure .value").first).to_have_text("–")
    expect(page.locator(".measure").first).to_contain_text("Too little data yet.")
    expect(page.locator("#view")).not_to_contain_text("NaN")


def test_another_guideline(page: Any, management: ScriptedManagement) -> None:
    open_section(page, "agreement")
    page.get_by_label("Guideline").select_option("helpfulness")
    page.wait_for_url("**/review#/agreement/helpfulness")
    expect(page.locator(".measure")).to_have_count(4)
    expect_request(page, management, "GET agreement?guideline=helpfulness")


def test_settings_are_shown_in_their_units_and_saved(page: Any, management: ScriptedManagement) -> None:
    open_section(page, "settings")
    expect(page.get_by_label("Items with a known verdict")).to_have_value("5")
    page.get_by_label("Items with a known verdict").fill("7.5")
    page.get_by_label("Minutes").fill("20")
    page.keyboard.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("saved")
    assert management.settings == {"exposure_cap": 200, "gold_share": 0.075, "lease_seconds": 1200}
    page.get_by_label("Minutes").fill("0")
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('#setting-lease_seconds').validity.rangeUnderflow")
    expect(page.locator(".command pre")).to_have_text("1234:" + "5f" * 32)
