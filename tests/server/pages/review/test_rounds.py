"""Calibration rounds: opening one, its progress, the reveal, votes beside each other, the discussion."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.pages.review.conftest import review_page
from tests.server.pages.review.scripted_management import ScriptedManagement, calibration_round, revealed_round

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect


@pytest.fixture
def management() -> ScriptedManagement:
    return ScriptedManagement(rounds=[calibration_round("r0", "November"), revealed_round("r1", "October")])


@pytest.fixture
def page(browser: Any, server_url: str, management: ScriptedManagement) -> Iterator[Any]:
    with review_page(browser, server_url, management) as page:
        page.click("#tabs a[data-name=rounds]")
        expect(page.locator(".round-list li")).to_have_count(2)
        yield page


def test_a_round_is_opened(page: Any, management: ScriptedManagement) -> None:
    page.get_by_role("button", name="Open a round").click()
    page.keyboard.type("December")
    page.locator("dialog input[type=number]").fill("12")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("December")
    assert (management.rounds[-1]["name"], management.rounds[-1]["items"]) == ("December", 12)


def test_progress_and_reveal(page: Any, management: ScriptedManagement) -> None:
    page.get_by_role("link", name="November").click()
    expect(page.locator(".shares")).to_contain_text("13 of 20")
    expect(page.get_by_role("link", name="Vote")).to_have_attribute("href", "#/judge")
    page.get_by_role("button", name="Reveal the votes").click()
    expect(page.locator("dialog")).to_contain_text("Not done yet: mia, 李雷.")
    page.locator("dialog .main").click()
    expect(page.locator(".entries > li")).to_have_count(2)


def test_votes_and_discussion(page: Any, management: ScriptedManagement) -> None:
    page.get_by_role("link", name="October").click()
    first = page.locator(".entries > li").first
    expect(first.locator(".verdicts > li")).to_have_count(2)
    expect(first.locator(".badge").first).to_have_text("Disagreed")
    area = page.get_by_label("Comment on Item 1")
    area.fill("I agree.")
    page.click("#language")  # the words change, what was typed stays
    page.click("#language")
    expect(area).to_have_value("I agree.")
    area.press("Control+Enter")
    expect(first.locator(".thread > li")).to_have_count(2)
    expect(area).to_have_value("")
    expect(area).to_be_focused()
    assert len(management.rounds[1]["entries"][0]["comments"][1]["id"]) >= 16
    expect(page.locator(".entries > li").nth(1).locator(".hidden-texts")).to_be_visible()


def test_a_comment_that_is_not_taken_stays(page: Any, management: ScriptedManagement) -> None:
    page.get_by_role("link", name="October").click()
    area = page.get_by_label("Comment on Item 2")
    area.fill("Later")
    management.is_up = False
    area.press("Control+Enter")
    expect(page.locator("#toasts")).to_contain_text("Cannot reach the server")
    expect(area).to_have_value("Later")


def test_a_reviewer_neither_opens_nor_reveals(browser: Any, server_url: str, management: ScriptedManagement) -> None:
    management.role = "reviewer"
    with review_page(browser, server_url, management, locale="zh-CN") as page:
        page.click("#tabs a[data-name=rounds]")
        expect(page.get_by_role("button", name="新建轮次")).to_have_count(0)
        page.get_by_role("link", name="November").click()
        expect(page.locator("h1")).to_have_text("November")
        expect(page.get_by_role("button", name="揭晓投票")).to_have_count(0)
