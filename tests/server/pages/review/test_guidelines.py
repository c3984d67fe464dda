"""Guidelines: text, versions, changes and touched verdicts; and the owner's editor."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.pages.review.conftest import review_page
from tests.server.pages.review.scripted_management import CREATED, ScriptedManagement, guideline_versions
from tests.server.pages.review.scripted_reviews import HARM, Json

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect


@pytest.fixture
def management() -> ScriptedManagement:
    touched: Json = {"item": "item000001", "verdict": "v", "reviewer": "mia", "rule": "H1", "version": 1, "label": "harmful"}
    touched |= {"created": CREATED, "reason": "rule_changed"}
    management = ScriptedManagement(guidelines=guideline_versions(), touched=[touched])
    old = HARM | {"text": {"en": HARM["text"]["en"].replace("insults the person", "hurts the person")}}
    answer = management.answer

    def answer_versions(method: str, path: str, body: Any) -> Any:
        return (200, old) if path == "guidelines/harm?version=1" else answer(method, path, body)

    management.answer = answer_versions  # type: ignore[method-assign]
    return management


@pytest.fixture
def page(browser: Any, server_url: str, management: ScriptedManagement) -> Iterator[Any]:
    with review_page(browser, server_url, management) as page:
        page.click("#tabs a[data-name=guidelines]")
        expect(page.locator(".view.guidelines h1")).to_have_text("Harm")
        yield page


def test_text_versions_and_changes(page: Any) -> None:
    expect(page.locator(".markdown strong")).to_have_text("not")
    expect(page.locator(".title .note")).to_have_text("Version 2 · one label per item · reviews per item: 2 · sensitive")
    expect(page.locator(".changes li")).to_have_count(1)
    expect(page.locator(".changes del")).to_have_text("hurts")
    expect(page.locator(".changes ins")).to_have_text("insults")
    expect(page.locator(".touched a")).to_have_attribute("href", "#/items/item000001")
    expect(page.locator(".touched .note")).to_contain_text("rule changed · Harmful · mia · version 1")
    page.get_by_label("Version").select_option("1")
    page.wait_for_url("**/guidelines/harm/1")
    expect(page.locator(".markdown")).to_contain_text("hurts the person")
    page.click("#language")
    expect(page.locator(".title .note")).to_contain_text("第 1 版")


def test_the_owner_sees_the_changes_before_saving(page: Any, management: ScriptedManagement) -> None:
    management.guidelines["harm"] = management.guidelines["harm"] | {"version": 1}  # the answer will be version 2
    page.reload()
    page.get_by_role("link", name="Edit").click()
    area = page.get_by_label("English")
    area.fill(area.input_value().replace("H3 Private data", "H3 Personal data"))
    page.reload()  # the draft stays
    expect(area).to_have_value(area.input_value().replace("Private data", "Personal data"))
    page.get_by_role("button", name="Show the changes").click()
    expect(page.locator(".changes")).to_contain_text("H3 Personal data")
    expect(page.locator(".check-result")).to_contain_text("Verdicts that rest on a changed rule: 3")
    assert management.added_guidelines == []
    page.get_by_role("button", name="Save as version 2").click()
    page.wait_for_url("**/review#/guidelines/harm")
    assert "H3 Personal data" in management.added_guidelines[0]["text"]["en"]
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_role("button", name="Discard the draft")).to_have_count(0)


def test_a_mistake_is_named_and_nothing_is_lost(page: Any, management: ScriptedManagement) -> None:
    management.guideline_problem = "guideline:3: labels is empty; add at least two"
    page.get_by_role("link", name="Add a guideline").click()
    page.get_by_label("English").fill("+++\nname = 1\n+++\n")
    page.get_by_role("button", name="Show the changes").click()
    expect(page.get_by_role("alert").filter(has_text="labels is empty")).to_be_visible()
    expect(page.get_by_label("English")).to_have_value("+++\nname = 1\n+++\n")
    page.get_by_label("English").fill("")
    page.get_by_role("button", name="Show the changes").click()
    page.get_by_role("link", name="Cancel").click()
    expect(page.locator(".view.guidelines h1")).to_have_text("Harm")


def test_a_reviewer_reads_and_cannot_edit(browser: Any, server_url: str) -> None:
    with review_page(browser, server_url, ScriptedManagement(role="reviewer")) as page:
        expect(page.locator("#tabs a")).to_have_text(["Judge", "Guidelines", "Calibration"])
        page.click("#tabs a[data-name=guidelines]")
        expect(page.locator(".markdown")).to_contain_text("Insults")
        expect(page.get_by_role("link", name="Edit")).to_have_count(0)
        page.goto(f"{server_url}/review#/guidelines/harm/edit")
        expect(page.get_by_label("English")).to_have_count(0)
        page.goto(f"{server_url}/review#/guidelines/nothing")
        expect(page.locator(".title")).to_contain_text("There is no guideline of this name.")


def test_texts_are_compared_word_by_word(page: Any) -> None:
    compare = """async ([before, after]) => {
      const { src } = document.querySelector('script[src*="/review/main.js"]');
      return (await import(src.replace("main.js", "state/guideline_rules.js"))).compareGuidelines(before, after);
    }"""
    before = "# T\n\n## A1 One\n\nold text\n\n```\n## A2 code\n```\n\n## A3 Gone\n\nx\n\n# Note\n\nrest"
    after = "+++\nname = 1\n+++\n## A1: One\r\n\r\nnew text\r\n\r\n```\r\n## A2 code\r\n```\r\n\r\n## A4\r\n\r\n"
    changes = page.evaluate(compare, [before, after])
    assert [(change["id"], change["change"]) for change in changes] == [
        ("otherText", "changed"),
        ("A1", "changed"),
        ("A4", "added"),
        ("A3", "removed"),
    ]
    kinds = [[kind, text] for kind, text in changes[1]["parts"] if kind != "same"]
    assert kinds == [["old", "old"], ["new", "new"]]
    assert page.evaluate(compare, [before, before]) == []
    assert page.evaluate(compare, ["", ""]) == []
    settings = "\ufeff+++\r\nreviews = {}\r\n+++\r\n# T\r\n\r\n## A1 One\r\n\r\ntext"
    (change,) = page.evaluate(compare, [settings.format(2), settings.format(3)])
    assert (change["id"], change["parts"]) == ("settings", [["same", "reviews = "], ["old", "2"], ["new", "3"]])
    chinese = page.evaluate(compare, ["## 一\n## A1 侮辱\n\n侮辱他人属于有害。", "## A1 侮辱\n\n侮辱他人属于违规。"])
    assert [part for part in chinese[-1]["parts"] if part[0] != "same"] == [["old", "有害"], ["new", "违规"]]
