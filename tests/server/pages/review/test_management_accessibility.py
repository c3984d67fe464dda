"""Every view of adjudicators and owners by axe, in both languages and themes, as wide as a desk and as narrow as a phone."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from tests.server.pages.review.axe_checks import check
from tests.server.pages.review.conftest import review_page
from tests.server.pages.review.scripted_management import (
    CREATED,
    EMPTY_REPORT,
    REPORT,
    ScriptedManagement,
    calibration_round,
    dispute,
    guideline_versions,
    revealed_round,
    verdict,
)

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("axe_playwright_python")
expect = playwright.expect


@pytest.fixture(scope="module")
def management() -> ScriptedManagement:
    management = ScriptedManagement(disputes=[dispute("one")], guidelines=guideline_versions())
    long_word = "averyverylongwordthatisbrokennowhere" * 3
    management.items[0].update(
        holder="mia", claim={"holder": "mia", "expires": 2e9}, label="harmful", rule="H1", sensitive=True,
        excerpt=long_word, decision={"action": "flag", "text": long_word}, origin={"file": "a.jsonl", "line": 3},
        verdicts=[verdict("mia", "harmful", "H1", comment=long_word, contains=["a"], excludes=["b"], final=True)],
        reports=[{"reason": "harmful", "comment": "", "created": CREATED}],
    )  # fmt: skip
    management.rounds = [calibration_round("r0", "November"), revealed_round("r1", long_word)]
    touched = {"item": "item000001", "verdict": "v", "reviewer": "mia", "rule": "H1", "version": 1, "label": "harmful"}
    management.touched = [{**touched, "created": CREATED}]
    return management


@pytest.fixture(scope="module", params=["en-US", "zh-CN"])
def page(browser: Any, server_url: str, management: ScriptedManagement, request: Any) -> Iterator[Any]:
    with review_page(browser, server_url, management, locale=request.param) as page:
        page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
        yield page


def show(page: Any, address: str, selector: str) -> None:
    page.evaluate("(address) => { location.hash = address; }", f"#/{address}")
    expect(page.locator(selector).first).to_be_visible()


@pytest.mark.parametrize(
    ("address", "selector"),
    [
        ("adjudicate", ".evidence"),
        ("items", ".virtual li"),
        ("items/item000000", ".history"),
        ("agreement", ".figures"),
        ("guidelines", ".touched"),
        ("guidelines/harm/edit", ".guideline-editor"),
        ("rounds", ".round-list"),
        ("rounds/r0", ".shares"),
        ("rounds/r1", ".entries"),
        ("settings", ".setting"),
    ],
    ids=["adjudicate", "items", "item", "agreement", "guidelines", "editor", "rounds", "open-round", "votes", "settings"],
)
def test_views(page: Any, address: str, selector: str) -> None:
    show(page, address, selector)
    for button in page.locator(".hidden-texts button").all():
        button.click()
    page.evaluate("for (const node of document.querySelectorAll('.view details')) node.open = true")
    check(page, address)


def test_hidden_texts_and_no_votes(page: Any, management: ScriptedManagement) -> None:
    show(page, "items/item000000", ".history")
    check(page, "hidden texts")
    management.report = EMPTY_REPORT
    show(page, "agreement", ".measure")
    check(page, "no votes")
    management.report = REPORT


def test_changes_and_problems_of_a_guideline(page: Any, management: ScriptedManagement) -> None:
    show(page, "guidelines//edit", ".guideline-editor")
    page.locator(".guideline-editor .main").click()
    expect(page.locator(".check-result button")).to_be_visible()
    check(page, "changes")
    management.guideline_problem = "guideline:3: labels is empty"
    page.locator(".guideline-editor .main").click()
    expect(page.locator(".check-result .form-problem")).to_be_visible()
    check(page, "a mistake")
    management.guideline_problem = ""


def test_dialogs(page: Any, management: ScriptedManagement) -> None:
    show(page, "rounds", ".round-list")
    page.locator(".view.rounds .main").click()
    check(page, "new round")
    page.keyboard.press("Escape")
    show(page, "rounds/r0", ".shares")
    page.locator(".view.rounds button.quiet").click()
    check(page, "reveal")
    page.keyboard.press("Escape")
    show(page, "items/item000005", ".history")
    page.locator(".facts-column button").click()
    check(page, "requeue")
    page.keyboard.press("Escape")
