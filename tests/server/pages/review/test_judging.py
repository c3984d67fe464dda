"""Judging on the review page: by keyboard alone, with a mouse, and on a phone."""

from typing import Any

import pytest

from tests.server.pages.review.conftest import expect_request, open_queue, review_page, wait_for_item, wait_for_screen
from tests.server.pages.review.scripted_reviews import BETTER, ScriptedReviews, item

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_three_keys_judge_an_item(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]), item("b", ["Talk to him."]))
    press(page, "2", "a", "Enter")
    expect(page.locator(".judged")).to_contain_text("Talk to him.")
    press(page, "1", "g", "Enter")
    wait_for_screen(page, "Nothing to judge right now")
    chosen = [(verdict["item"], verdict["label"], verdict["rule"]) for verdict in reviews.verdicts]
    assert chosen == [("a", "harmful", "H1"), ("b", "acceptable", "H4")]
    assert len({verdict["id"] for verdict in reviews.verdicts}) == 2
    assert all(verdict["seconds"] >= 0 for verdict in reviews.verdicts)
    expect(page.locator(".numbers")).to_contain_text("14 judged today")


def test_enter_names_what_is_missing(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]))
    press(page, "Enter")
    expect(page.locator("#status")).to_have_text("Choose a verdict.")
    press(page, "2", "Enter")
    expect(page.locator("#status")).to_have_text("Now cite a rule.")
    assert reviews.verdicts == []


def test_undo_takes_back_one_choice_after_the_other(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]))
    press(page, "1", "2", "d", "u")
    expect(page.locator(".rule input:checked")).to_have_count(0)
    press(page, "u")
    expect(page.locator(".labels input:checked")).to_have_value("acceptable")
    press(page, "u", "u", "u")
    expect(page.locator(".labels input:checked")).to_have_count(0)
    expect(page.locator(".undo")).to_be_hidden()


def test_rules_are_searched_by_their_texts(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["He lives at Elm Street 5."]))
    press(page, "2", "/")
    page.keyboard.type("phone number")
    expect(page.locator(".rule:visible")).to_have_count(1)
    press(page, "Enter")
    assert reviews.verdicts == []  # Enter has cited the rule
    expect(page.locator(".rule.cited")).to_contain_text("H3")
    press(page, "Enter")
    wait_for_screen(page, "Nothing to judge right now")
    assert reviews.verdicts[0]["rule"] == "H3"


def test_a_search_without_matches_says_so(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]))
    press(page, "/")
    page.keyboard.type("zebra")
    expect(page.locator(".decision")).to_contain_text("No rule matches.")
    press(page, "Enter", "Escape", "2")
    expect(page.locator(".rule:visible")).to_have_count(4)
    expect(page.locator(".labels input:checked")).to_have_value("harmful")


def test_keys_typed_into_a_field_are_text(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]))
    press(page, "2", "a", "c")
    page.keyboard.type("1 see b? press u\nand skip")
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator("[name=comment]")).to_have_value("1 see b? press u\nand skip")
    press(page, "Control+Enter")
    wait_for_screen(page, "Nothing to judge right now")
    assert reviews.verdicts[0]["comment"] == "1 see b? press u\nand skip"
    assert reviews.verdicts[0]["label"] == "harmful"


def test_a_bad_answer_takes_a_better_one_and_a_test(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]))
    expect(page.locator(".improvement")).to_be_hidden()
    press(page, "2", "a")
    page.get_by_role("button", name="Start from this answer").click()
    expect(page.get_by_label("A better answer")).to_have_value("You fool.")
    page.get_by_label("A better answer").fill("Dear friend.\0")
    page.get_by_label("A good answer contains").fill("friend\n\n  friend \ndear")
    page.get_by_label("does not contain").fill("DEAR  friend")
    expect(page.locator(".conflict")).to_contain_text("Your better answer contains “DEAR  friend”")
    page.get_by_label("does not contain").fill("fool")
    expect(page.locator(".conflict")).to_be_hidden()
    press(page, "Control+Enter")
    wait_for_screen(page, "Nothing to judge right now")
    verdict = reviews.verdicts[0]
    assert verdict["correction"].rstrip("\ufffd") == "Dear friend."
    assert (verdict["contains"], verdict["excludes"]) == (["friend", "dear"], ["fool"])


def test_a_good_answer_is_sent_without_the_improvement_of_a_bad_one(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["Talk to him."]))
    press(page, "2", "a")
    page.get_by_label("A better answer").fill("Another")
    page.locator(".verdict-label", has_text="Acceptable").click()
    press(page, "Enter")  # on the label: the form is sent
    wait_for_screen(page, "Nothing to judge right now")
    assert (reviews.verdicts[0]["correction"], reviews.verdicts[0]["contains"]) == ("", [])


@pytest.mark.parametrize("subject", ["prompt", "document"])
def test_prompts_and_documents_take_no_better_answer(page: Any, reviews: ScriptedReviews, subject: str) -> None:
    open_queue(page, reviews, item("a", ["How do I hurt him?"], subject=subject, messages=[]))
    press(page, "2", "a")
    expect(page.locator(".improvement")).to_be_hidden()
    expect(page.locator(".context")).to_have_count(0)


def test_skipping_asks_for_a_reason(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["Quoi?"]), item("b", ["Talk to him."]))
    press(page, "s", "Escape")
    expect(page.locator("dialog")).to_have_count(0)
    press(page, "s", "1")
    expect(page.locator(".judged")).to_contain_text("Talk to him.")
    assert reviews.skips == [{"claim": "token-a", "reason": "expertise", "item": "a"}]


def test_escalating_takes_a_comment(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["He is in danger."]))
    press(page, "e")
    page.keyboard.type("Somebody should look at this now.")
    press(page, "Control+Enter")
    wait_for_screen(page, "Nothing to judge right now")
    assert reviews.escalations[0]["comment"] == "Somebody should look at this now."


def test_the_better_of_two_answers(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["Short.", "Longer, and wrong."], guideline=BETTER, messages=[]))
    left, right = (page.locator(".judged").nth(n).bounding_box() for n in (0, 1))
    assert left["y"] == right["y"]
    assert left["x"] < right["x"]
    press(page, "3", "2", "d", "Enter")
    wait_for_screen(page, "Nothing to judge right now")
    assert (reviews.verdicts[0]["label"], reviews.verdicts[0]["rule"]) == ("second", "P2")


def test_a_pause_gives_the_item_back_and_enter_ends_it(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]))
    press(page, "2", "p")
    wait_for_screen(page, "Take your time")
    expect(page.locator(".pause")).to_be_focused()
    expect_request(page, reviews, "DELETE claims/token-a")
    press(page, "Enter")
    wait_for_item(page)
    expect(page.locator(".labels input:checked")).to_have_value("harmful")


def test_the_cap_says_when_a_new_day_begins(page: Any, reviews: ScriptedReviews) -> None:
    reviews.empty_reason = "exposure_cap"
    open_queue(page, reviews)
    wait_for_screen(page, "Enough for today")
    expect(page.locator(".pause")).to_contain_text("200 sensitive items")
    page.click("#language")
    wait_for_screen(page, "今天就到这里")


def test_items_of_one_guideline(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]), item("b", ["Short.", "Long."], guideline=BETTER))
    page.select_option(".day select", "helpfulness")
    expect(page.locator(".judged")).to_have_count(2)
    press(page, "1", "a", "Enter")
    page.get_by_role("button", name="Take items of all guidelines").click()
    expect(page.locator(".judged")).to_have_text("You fool.")


def test_an_item_has_focus_when_it_appears_and_nothing_is_trapped(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]))
    expect(page.locator(".item")).to_be_focused()
    seen = set()
    for _ in range(40):
        press(page, "Tab")
        seen.add(
            page.evaluate("document.activeElement.name || document.activeElement.id || document.activeElement.className")
        )
    assert {"label", "rule", "comment", "help", "language"} <= seen


def test_keys_of_other_layouts(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]))
    page.evaluate("""() => {
      const press = (key, code) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, code, bubbles: true }));
      press("é", "Digit2"); // of a French keyboard
      press("ф", "KeyA"); // of a Russian one
    }""")
    expect(page.locator(".state")).to_have_text("Cites H1. Ready to submit.")


def test_a_key_that_is_held_judges_once(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, *(item(name, ["You fool."]) for name in "abc"))
    press(page, "2", "a")
    page.keyboard.down("Enter")
    page.keyboard.down("Enter")
    page.keyboard.down("Enter")
    wait_for_item(page)
    assert len(reviews.verdicts) == 1


def test_on_a_phone(browser: Any, server_url: str, reviews: ScriptedReviews) -> None:
    with review_page(browser, server_url, reviews, width=390, height=844) as page:
        open_queue(page, reviews, item("a", ["You fool."]))
        expect(page.locator(".rule-list")).to_be_hidden()
        assert all(label.bounding_box()["height"] >= 44 for label in page.locator(".verdict-label").all())
        page.locator(".verdict-label", has_text="Harmful").click()
        page.locator(".rule label", has_text="H2").click()
        page.get_by_role("button", name="Back to the text").click()
        expect(page.locator(".judged")).to_be_visible()
        page.get_by_role("button", name="Submit").click()
        wait_for_screen(page, "Nothing to judge right now")
        assert (reviews.verdicts[0]["label"], reviews.verdicts[0]["rule"]) == ("harmful", "H2")


def test_words_in_another_language_keep_what_was_chosen(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]))
    press(page, "2", "a", "c")
    page.keyboard.type("why")
    page.click("#language")
    expect(page.locator(".rule.cited")).to_contain_text("侮辱与歧视")
    expect(page.locator("[name=comment]")).to_have_value("why")
    expect(page.locator(".state")).to_have_text("已引用 H1，可以提交。")
