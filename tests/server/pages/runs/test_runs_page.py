"""The list of runs, a run and a comparison, in Chromium."""

from typing import Any

import pytest

from tests.server.pages.runs.conftest import open_runs, open_table
from tests.server.pages.runs.scripted_runs import CREATED, ScriptedRuns, curves, run

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

NAMES = ".runs-table tbody strong"
NAN_MESSAGE = "the loss of step 601 is not a number"


def fill(runs: ScriptedRuns) -> None:
    runs.add(run("new", created=CREATED + 30, loss=5.0))
    runs.add(run("sweep/low", "finished", created=CREATED + 20, step=1000, loss=2.5), settings={"depth": 4, "seed": 1})
    runs.add(run("old", "failed", created=CREATED + 10, loss=None, message=NAN_MESSAGE), series=curves(offset=1.0))


def test_the_list_grows_and_changes_while_it_is_shown(page: Any, runs: ScriptedRuns) -> None:
    open_runs(page)
    expect(page.locator(".pause h2")).to_have_text("No runs yet")
    fill(runs)
    expect(page.locator(NAMES)).to_have_text(["new", "low", "old"])
    expect(page.locator("tr[data-id=old]")).to_contain_text(NAN_MESSAGE)
    expect(page.locator("tr[data-id=new] [role=progressbar]")).to_have_attribute("aria-valuenow", "60")
    runs.change("new", step=700, loss=4.321, seconds_left=81.0)
    expect(page.locator("tr[data-id=new]")).to_contain_text("700 of 1,000 steps · 1 min left")
    expect(page.locator("tr[data-id=new] [data-column=loss]")).to_have_text("4.321")
    runs.change("new", state="killed", can_stop=False, can_resume=True)
    expect(page.locator("tr[data-id=new] .state")).to_have_text("Killed")
    runs.remove("old")
    expect(page.locator(NAMES)).to_have_text(["new", "low"])


def test_the_list_is_sorted_and_filtered(page: Any, runs: ScriptedRuns) -> None:
    fill(runs)
    open_runs(page)
    page.get_by_role("button", name="Loss", exact=True).click()
    expect(page.locator(NAMES)).to_have_text(["low", "new", "old"])  # without a loss: last
    page.get_by_role("button", name="Loss", exact=True).click()
    expect(page.locator(NAMES)).to_have_text(["new", "low", "old"])
    page.fill("input[type=search]", "SWEEP")
    expect(page.locator(NAMES)).to_have_text(["low"])
    expect(page.locator(".list-foot [role=status]")).to_have_text("1 of 3 runs")
    page.get_by_role("button", name="Failed").click()
    page.get_by_role("button", name="Clear the filter").click()
    expect(page.locator(NAMES)).to_have_count(3)


def test_runs_are_chosen_compared_and_opened_by_keys(page: Any, runs: ScriptedRuns) -> None:
    fill(runs)
    open_runs(page)
    for key in ("ArrowDown", "x", "j", "j", "x", "c"):
        page.keyboard.press(key)
    page.wait_for_url("**#/compare/new/old")
    expect(page.locator("h1")).to_have_text("Comparison of 2 runs")
    page.keyboard.press("Escape")
    page.wait_for_url("**#/runs")
    expect(page.locator("tr[data-id=old] a")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**#/run/old")
    expect(page.locator(".run-message")).to_have_text(NAN_MESSAGE)


def test_curves_are_those_of_the_run_and_grow(page: Any, runs: ScriptedRuns) -> None:
    runs.add(run("a", step=0), series={})
    open_runs(page, "#/run/a")
    expect(page.locator(".curves > [role=status]")).to_have_text("Curves appear after the first step.")
    runs.series["a"] = curves(3)
    runs.change("a", step=3)
    assert open_table(page, "loss") == [["Step", "Training loss"], ["1", "8.051"], ["2", "8.025"], ["3", "7.915"]]
    runs.series["a"] = curves(5)
    runs.change("a", step=5)
    expect(page.locator("[data-chart=loss] tbody tr")).to_have_count(5)
    runs.series["a"] = curves(4, offset=1.0)  # resumed from step 2
    runs.revisions["a"] = "r2"
    runs.change("a", step=4)
    expect(page.locator("[data-chart=loss] tbody tr")).to_have_count(4)
    assert open_table(page, "loss")[-1] == ["4", "8.793"]
    page.select_option("[name=axis]", "tokens")
    assert open_table(page, "loss")[0][0] == "Tokens"
    assert open_table(page, "loss")[-1][0] == "16,384"


def test_zoom_and_readout_are_those_of_all_charts(page: Any, runs: ScriptedRuns) -> None:
    runs.add(run("a"))
    open_runs(page, "#/run/a")
    plot = page.locator("[data-chart=loss] .plot")
    plot.hover(position={"x": 200, "y": 100})
    expect(page.locator(".readout:visible")).to_have_count(2)  # of the charts on the screen
    title = page.locator("[data-chart=loss] .readout strong").text_content()
    expect(page.locator("[data-chart=tokens_per_second] .readout strong")).to_have_text(title or "")
    plot.focus()
    for key in ("End", "ArrowLeft"):
        page.keyboard.press(key)
    expect(page.locator("#status")).to_have_text("Step 599: Training loss 3.179, Validation loss 3.192")
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 60, steps=3)
    page.mouse.up()
    steps = [int(row[0]) for row in open_table(page, "joules")[1:]]
    assert 100 < steps[0] < steps[-1] < 350
    plot.dblclick(position={"x": 200, "y": 100})
    expect(page.locator("[data-chart=joules] tbody th").first).to_have_text("1")


def test_energy_without_an_interval_has_no_parentheses(page: Any, runs: ScriptedRuns) -> None:
    runs.add(run("a", energy={"joules": 7200.0, "low": None, "high": None, "method": ""}), series={})
    open_runs(page, "#/run/a")
    expect(page.locator(".run-facts")).to_contain_text("2 Wh")
    expect(page.locator(".run-facts")).not_to_contain_text("from )")


def test_stop_and_resume_ask_first_and_say_why_not(page: Any, runs: ScriptedRuns) -> None:
    runs.add(run("a"))
    open_runs(page, "#/run/a")
    page.click("[data-act=stop]")
    page.get_by_role("button", name="Cancel").click()
    assert "POST a/stop" not in runs.requests
    page.click("[data-act=stop]")
    page.locator("dialog .danger").click()
    expect(page.locator(".control")).to_have_text("Stopping…")
    runs.change("a", state="stopped", can_stop=False, can_resume=True)
    runs.refusals["resume"] = (403, "role_needed")
    page.click("[data-act=resume]")
    page.locator("dialog .main").click()
    expect(page.locator(".toast")).to_be_visible()
    expect(page.locator("[data-act=resume]")).to_be_visible()
    assert runs.requests.count("POST a/stop") == runs.requests.count("POST a/resume") == 1


def test_a_comparison_overlays_curves_and_shows_what_differs(page: Any, runs: ScriptedRuns) -> None:
    fill(runs)
    open_runs(page, "#/compare/sweep~2Flow/old/gone")
    expect(page.locator(".view.compare > .note")).to_contain_text("1")
    expect(page.locator(".run-settings tbody th")).to_have_text(["seed", "optimizer.learning_rate"])
    page.uncheck("[name=differs]")
    expect(page.locator(".run-settings tbody th")).to_have_count(3)
    open_table(page, "loss")
    expect(page.locator("[data-chart=loss] thead th")).to_have_text(["Step", "low", "old"])
    page.uncheck(".legend input[data-id=old]")
    expect(page.locator("[data-chart=loss] thead th")).to_have_text(["Step", "low"])


def test_samples_settings_and_another_language(page: Any, runs: ScriptedRuns) -> None:
    texts = [{"step": 1200 - 100 * n, "text": f"<b>text {n}</b>\u202e"} for n in range(12)]
    runs.add(run("a"), samples=texts)
    open_runs(page, "#/run/a")
    expect(page.locator(".samples li")).to_have_count(10)
    page.click(".samples button")
    expect(page.locator(".samples li")).to_have_count(12)
    expect(page.locator(".samples li").last).to_contain_text("<b>text 11</b>")
    runs.samples["a"].insert(0, {"step": 1300, "text": "newest"})
    runs.change("a", step=700)
    expect(page.locator(".samples li").first).to_contain_text("newest")
    expect(page.locator(".samples li")).to_have_count(13)
    page.click("#language")
    expect(page.locator("h2").first).to_have_text("曲线")
    expect(page.locator(".run-settings tbody th")).to_have_text(["depth", "optimizer.learning_rate"])


def test_the_page_goes_on_when_the_server_is_back(page: Any, runs: ScriptedRuns) -> None:
    runs.add(run("a"))
    open_runs(page)
    runs.go_down()
    expect(page.locator("#connection")).to_be_visible()
    runs.is_up = True
    runs.add(run("b", created=CREATED + 9))
    expect(page.locator(NAMES)).to_have_text(["b", "a"])
    expect(page.locator("#connection")).to_be_hidden()
    open_runs(page, "#/run/%3Cgone%3E")
    expect(page.locator(".pause")).to_contain_text("“<gone>”")
