"""Adjudication: the verdicts of the reviewers without their names, the rules they cite, the final verdict by keyboard."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.pages.review.conftest import review_page
from tests.server.pages.review.scripted_management import ScriptedManagement, dispute, verdict

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect


@pytest.fixture
def management() -> ScriptedManagement:
    return ScriptedManagement(role="adjudicator", disputes=[dispute("one"), dispute("two")])


@pytest.fixture
def page(browser: Any, server_url: str, management: ScriptedManagement) -> Iterator[Any]:
    with review_page(browser, server_url, management) as page:
        page.click("#tabs a[data-name=adjudicate]")
        expect(page.locator(".evidence")).to_be_visible()
        yield page


def test_the_evidence(page: Any) -> None:
    evidence = page.locator(".evidence")
    expect(evidence.locator(".verdicts > li")).to_have_count(2)
    expect(evidence).to_contain_text("Reviewer A")
    expect(evidence).to_contain_text("It calls the neighbor a fool.")
    expect(evidence).to_contain_text("Escalated by reviewer C")
    expect(evidence).to_contain_text("Harmful or offensive")
    expect(evidence).to_contain_text("Quoting an insult in order to explain it is not an insult.")
    expect(evidence.locator("details .markdown :is(h1, h2, h3, h4, h5, h6)")).to_have_count(0)
    evidence.get_by_text("Decision of the policy").click()
    expect(evidence.locator("pre").last).to_contain_text('"score": 0.61')


def test_a_verdict_is_adopted_changed_and_sent_by_keyboard(page: Any, management: ScriptedManagement) -> None:
    page.keyboard.press("Shift+A")
    expect(page.locator("#decision [name=correction]")).to_have_value("Talk to your neighbor calmly.")
    expect(page.locator("#decision .submit")).to_be_focused()
    page.locator("#decision [name=contains]").fill("neighbor\n\ncalm")
    page.locator("#decision [name=excludes]").fill("fool")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".evidence")).to_be_visible()
    sent = management.adjudications[0]
    names = ("claim", "label", "rule", "correction", "contains", "excludes")
    assert [sent[name] for name in names] == [
        "token-one", "harmful", "H1", "Talk to your neighbor calmly.", ["neighbor", "calm"], ["fool"],
    ]  # fmt: skip
    page.wait_for_function("() => document.activeElement.closest('.item')")
    page.keyboard.press("1")
    page.locator("#decision input[name=rule][value=H4]").check(force=True)
    page.keyboard.press("Enter")
    expect(page.locator(".pause")).to_contain_text("Nothing to judge right now")
    assert [body["label"] for body in management.adjudications] == ["harmful", "acceptable"]


def test_a_rule_that_is_gone_is_not_adopted(browser: Any, server_url: str) -> None:
    management = ScriptedManagement(disputes=[dispute("one", verdicts=[verdict("A", "harmful", "H99")], escalations=[])])
    with review_page(browser, server_url, management) as page:
        page.click("#tabs a[data-name=adjudicate]")
        page.get_by_role("button", name="Use verdict A").click()
        expect(page.locator("#decision .state")).to_have_text("Now cite a rule.")


def test_an_escalated_item_without_verdicts_and_the_language(browser: Any, server_url: str) -> None:
    management = ScriptedManagement(disputes=[dispute("one", verdicts=[], state="escalated", decision={}, reports=[])])
    with review_page(browser, server_url, management, locale="zh-CN") as page:
        page.click("#tabs a[data-name=adjudicate]")
        expect(page.locator(".evidence")).to_contain_text("审核员 C 上报")
        expect(page.locator(".evidence .verdicts")).to_have_count(0)
        page.click("#language")
        expect(page.locator(".evidence")).to_contain_text("Escalated by reviewer C")
