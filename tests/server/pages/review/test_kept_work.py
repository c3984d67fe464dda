"""Nothing that a reviewer writes or decides is lost or counted twice: reloads, a server that is away, an expired claim."""

from typing import Any

import pytest

from tests.server.pages.review.conftest import expect_request, open_queue, wait_for_item, wait_for_screen
from tests.server.pages.review.scripted_reviews import ScriptedReviews, error, item

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect


def judge(page: Any) -> None:
    for key in ("2", "a", "Enter"):
        page.keyboard.press(key)


def test_a_draft_survives_a_reload(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."], sensitive=True))
    for key in ("b", "2", "a", "c"):
        page.keyboard.press(key)
    page.keyboard.type("half a sent")
    page.get_by_label("A better answer").fill("Dear")
    page.reload()
    wait_for_item(page)
    expect(page.locator(".review-notice.draft")).to_be_visible()
    expect(page.locator("[name=comment]")).to_have_value("half a sent")
    expect(page.get_by_label("A better answer")).to_have_value("Dear")
    expect(page.locator(".state")).to_have_text("Cites H1. Ready to submit.")
    page.keyboard.press("Enter")
    wait_for_screen(page, "Nothing to judge right now")
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.includes('journal'))") == []


def test_a_draft_of_an_older_guideline_loses_a_rule_that_is_gone(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]))
    for key in ("2", "f"):
        page.keyboard.press(key)
    harm = reviews.guidelines["harm"]
    reviews.guidelines["harm"] = {**harm, "version": 2, "rules": harm["rules"][:2]}
    open_queue(page, reviews, item("a", ["You fool."], version=2))
    expect(page.locator(".state")).to_have_text("Now cite a rule.")


def test_a_verdict_waits_for_the_server(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]), item("b", ["Talk to him."]))
    reviews.is_up = False
    judge(page)
    wait_for_screen(page, "The server cannot be reached")
    expect(page.locator(".review-notice.away")).to_contain_text("1")
    reviews.is_up = True
    expect(page.locator(".judged")).to_contain_text("Talk to him.")
    expect(page.locator(".review-notice")).to_have_count(0)
    assert [verdict["item"] for verdict in reviews.verdicts] == ["a"]


def test_a_verdict_survives_a_reload_without_the_server(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]), item("b", ["Talk to him."]))
    reviews.is_up = False
    judge(page)
    wait_for_screen(page, "The server cannot be reached")
    page.reload()
    page.get_by_role("button", name="Retry").wait_for()
    reviews.is_up = True
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".judged")).to_contain_text("Talk to him.")
    assert [verdict["item"] for verdict in reviews.verdicts] == ["a"]


def test_an_answer_that_is_lost_makes_no_second_verdict(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]), item("b", ["Talk to him."]))
    reviews.loses_answers = True
    judge(page)
    expect(page.locator(".review-notice.away")).to_be_visible()
    reviews.loses_answers = False
    expect(page.locator(".judged")).to_contain_text("Talk to him.")
    assert [verdict["item"] for verdict in reviews.verdicts] == ["a"]
    posts = [request for request in reviews.requests if request == "POST items/a/verdicts"]
    assert len(posts) >= 2


def test_a_failing_server_is_asked_again(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]))
    act = reviews.act
    reviews.act = lambda *request: (500, error("internal_error", "it failed"))  # type: ignore[method-assign]
    judge(page)
    wait_for_screen(page, "The server cannot be reached")
    reviews.act = act  # type: ignore[method-assign]
    wait_for_screen(page, "Nothing to judge right now")
    assert len(reviews.verdicts) == 1


def test_an_expired_claim_keeps_the_draft_and_says_so(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]), item("b", ["Talk to him."]))
    page.keyboard.press("c")
    page.keyboard.type("long thoughts")
    page.keyboard.press("Escape")
    page.locator(".item").focus()
    reviews.gone_leases = {"token-a"}
    judge(page)
    expect(page.locator(".review-notice.problem")).to_contain_text("Your claim on this item has expired")
    expect(page.locator("[name=comment]")).to_have_value("long thoughts")
    reviews.queue = reviews.queue[::-1]
    page.get_by_role("button", name="Next item").click()
    expect(page.locator(".judged")).to_contain_text("Talk to him.")
    reviews.gone_leases = set()
    judge(page)
    expect(page.locator(".judged")).to_contain_text("You fool.")
    expect(page.locator("[name=comment]")).to_have_value("long thoughts")
    assert [verdict["item"] for verdict in reviews.verdicts] == ["b"]


def test_a_refused_verdict_can_be_mended(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]))
    act = reviews.act
    reviews.act = lambda *request: (400, error("text_too_long", "the comment is too long"))  # type: ignore[method-assign]
    judge(page)
    expect(page.locator(".review-notice.problem")).to_contain_text("the comment is too long")
    reviews.act = act  # type: ignore[method-assign]
    page.keyboard.press("Enter")
    wait_for_screen(page, "Nothing to judge right now")
    assert len(reviews.verdicts) == 1


def test_an_item_that_cannot_be_judged_any_more_is_left(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."], round="r"))
    reviews.act = lambda *request: (409, error("round_revealed", "the round is over"))  # type: ignore[method-assign]
    judge(page)
    expect(page.locator(".review-notice.problem")).to_be_visible()
    reviews.queue = [item("b", ["Talk to him."])]
    page.get_by_role("button", name="Next item").click()
    expect(page.locator(".judged")).to_have_text("Talk to him.")
    expect(page.locator(".review-notice")).to_have_count(0)
    expect_request(page, reviews, "DELETE claims/token-a")


def test_a_claim_is_renewed_while_somebody_is_here(page: Any, reviews: ScriptedReviews) -> None:
    reviews.lease_seconds = 0.3
    open_queue(page, reviews, item("a", ["You fool."]))
    page.wait_for_timeout(500)
    expect_request(page, reviews, "POST claims/token-a/renew")
    reviews.gone_leases = {"token-a"}
    expect(page.locator(".review-notice.problem")).to_contain_text("Your claim on this item has expired")


def test_a_claim_is_not_renewed_for_nobody(page: Any, reviews: ScriptedReviews) -> None:
    reviews.lease_seconds = 0.3
    page.clock.install()
    open_queue(page, reviews, item("a", ["You fool."]))
    page.clock.fast_forward(400_000)
    page.clock.fast_forward(1000)
    page.wait_for_timeout(100)
    reviews.requests.clear()
    page.clock.run_for(2000)
    assert "POST claims/token-a/renew" not in reviews.requests
    page.mouse.move(300, 300)
    page.clock.run_for(100)
    expect(page.locator(".item")).to_be_visible()
    page.wait_for_timeout(200)
    expect_request(page, reviews, "POST claims/token-a/renew")


def test_an_empty_queue_is_looked_at_again(page: Any, reviews: ScriptedReviews) -> None:
    page.clock.install()
    open_queue(page, reviews)
    reviews.queue = [item("a", ["You fool."])]
    page.clock.fast_forward(25_000)
    wait_for_item(page)


def test_a_verdict_is_sent_from_any_section(page: Any, reviews: ScriptedReviews) -> None:
    open_queue(page, reviews, item("a", ["You fool."]))
    reviews.is_up = False
    judge(page)
    wait_for_screen(page, "The server cannot be reached")
    page.goto(f"{page.review_url}#/guidelines")
    expect(page.locator(".desk")).to_have_count(0)
    reviews.is_up = True
    page.wait_for_function("() => Object.keys(localStorage).every((key) => !key.includes('journal'))")
    assert [verdict["item"] for verdict in reviews.verdicts] == ["a"]


def test_a_break_is_suggested_after_45_minutes(page: Any, reviews: ScriptedReviews) -> None:
    page.clock.install()
    open_queue(page, reviews, item("a", ["You fool."]), item("b", ["Talk to him."]))
    for n in range(12):
        page.clock.fast_forward(240_000)
        page.mouse.move(300 + n, 300)
    judge(page)
    expect(page.locator(".review-notice.break")).to_contain_text("45 minutes")
    assert 60 <= reviews.verdicts[0]["seconds"] <= 13 * 60
