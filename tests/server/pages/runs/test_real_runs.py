"""The page over the real server: a run that is started in a terminal, killed, and resumed from the page."""

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from lmcraft import prepare
from tests.forked import ForkedCommand
from tests.server.pages.conftest import new_context
from tests.server.serve_process import serving

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

TEXT = "Once upon a time a small cat and a big dog ran to the park. They said that they were happy there.\n\n"


def read_losses(folder: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (folder / "lmcraft" / "metrics.jsonl").read_text("utf-8").splitlines()]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


def read_chart(page: Any, path: Path) -> dict[int, float]:
    """The points of the training loss in the chart, by step, from its file."""
    chart = page.locator("[data-chart=loss]")
    if chart.locator("[aria-expanded=false]").count():
        chart.locator("[aria-expanded=false]").click()
    with page.expect_download() as download:
        chart.get_by_role("button", name="Save as CSV").click()
    download.value.save_as(path)
    with path.open(encoding="utf-8") as file:
        return {int(row["step"]): float(row["loss"]) for row in csv.DictReader(file) if row["run"] == "Training loss"}


@pytest.mark.slow
def test_a_run_from_the_terminal_through_a_kill_to_its_end(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT * 2000)
    runs = tmp_path / "runs"
    runs.mkdir()
    prepare(str(tmp_path / "text.txt"), out=str(tmp_path / "data"), vocab_size=300)
    with serving("--runs", str(runs)) as url, new_context(browser) as context:
        page = context.new_page()
        page.goto(f"{url}/runs")
        follow(page, tmp_path)


def follow(page: Any, folder: Path) -> None:
    page.wait_for_selector(".pause h2")
    flags = (
        "--depth",
        "1",
        "--max-steps",
        "400",
        "--save-every",
        "50",
        "--eval-every",
        "50",
        "--sequence-length",
        "32",
        "--batch-size",
        "8",
    )
    process = ForkedCommand("pretrain", "data", "--out", "runs/first", *flags, folder=folder)
    try:
        page.click(".runs-table tbody a")
        expect(page.locator("[data-chart=loss]")).to_be_visible()
        page.wait_for_function("() => Number(document.querySelector('[role=progressbar]').ariaValueNow) >= 20")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    expect(page.locator(".run-title .state")).to_have_text("Killed")
    killed_at = max(read_losses(folder / "runs" / "first"))
    page.click("[data-act=resume]")
    page.locator("dialog .main").click()
    expect(page.locator(".run-title .state")).to_have_text("Finished")
    written = read_losses(folder / "runs" / "first")
    assert list(written) == list(range(1, 401)) and killed_at < 400
    drawn = read_chart(page, folder / "chart.csv")
    assert drawn == pytest.approx(written)
