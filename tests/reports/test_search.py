"""The page of a search, and its tables in the terminal."""

import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from lmcraft.hyperparameters.confirmation import judge
from lmcraft.hyperparameters.space import Dimension, Space
from lmcraft.hyperparameters.trial import CurvePoint, Kind, State, Trial
from lmcraft.reports.search import summarize_search, trial_table, verdict_sentences, write_search
from lmcraft.reports.search_charts import value_axis
from lmcraft.reports.search_record import SearchRecord, costs, describe_savings, describe_waste

HOSTILE = "<script>alert(\"x\")</script> & 'q' $style ${title} [red] \x00\x1b[2J " + "long" * 40
DIMENSIONS = [
    Dimension(name="pretrain.optimizer.learning_rate", kind="float", low=1e-3, high=1e-1, log=True, default=0.02),
    Dimension(name="pretrain.depth", kind="int", low=1, high=4, default=2),
    Dimension(name="pretrain.optimizer.name", kind="categorical", choices=["normuon", "adamw"], default="normuon"),
    Dimension(
        name="pretrain.beta", kind="float", low=0.9, high=0.99, default=0.9, when={"pretrain.optimizer.name": ["adamw"]}
    ),
]
ONE = {"loss": 1}
VOID = {"meta", "link", "br", "img", "input"}


class Checker(HTMLParser):
    """Checks that tags are closed in the right order, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()


def make_space(*more: Dimension) -> Space:
    return Space(settings={"pretrain": {}}, dimensions=[*DIMENSIONS, *more])


def make_trials(space: Space, count: int, *, early: bool = False, signs: Mapping[str, int] = ONE) -> list[Trial]:
    """Trials whose loss depends on the learning rate; with `early` two of three stop at step 10 of 30."""
    rng = np.random.default_rng(0)
    trials = []
    for number in range(count):
        point = space.from_unit(rng.random(len(space.dimensions)))
        loss = 3 + float(np.log(float(point["pretrain.optimizer.learning_rate"]) / 0.02)) ** 2 + 0.1 * rng.random()
        stops = early and number % 3 > 0
        steps = (10,) if stops else (10, 30)
        values = {name: loss if name == "loss" else float(rng.random()) for name in signs}
        trials.append(
            Trial(
                number=number,
                point=point,
                state=State.PAUSED if stops else State.COMPLETE,
                step=steps[-1],
                curve=[CurvePoint(step, {"loss": loss + 1 / step}) for step in steps],
                values={} if stops else values,
                tokens=100 * steps[-1],
                seconds=float(steps[-1]),
                energy_kwh=steps[-1] / 1000,
                created=1000.0 + number,
                finished=2000.0 + number,
            )
        )
    return trials


def write(record: SearchRecord, folder: Path) -> tuple[str, Checker]:
    """The page, which is well formed and asks for nothing else."""
    page = write_search(folder, record).read_text()
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert not checker.open
    assert not re.search(r"(src|href|xlink:href)=|url\(|@import", page) and "default-src 'none'" in page
    assert "nan" not in re.sub(r"<title>.*?</title>|<td>.*?</td>|normuon", "", page.split("</style>")[1])
    list(charts_of(page))
    return page, checker


def charts_of(page: str) -> Iterator[ET.Element]:
    for chart in page.split("<svg")[1:]:
        yield ET.fromstring("<svg" + chart.split("</svg>")[0] + "</svg>")


def console_text(record: SearchRecord) -> str:
    console = Console(width=300, record=True, file=StringIO())
    for part in summarize_search(record):
        console.print(part, markup=False)
    return console.export_text()


def with_confirmation(record: SearchRecord, spread: float = 0.01, gap: float = 0.0) -> SearchRecord:
    """The two best trials with three runs each; the second is worse by `gap`."""
    best = sorted(record.complete, key=lambda trial: trial.values["loss"])[:2]
    runs = [
        replace(
            trial,
            number=len(record.trials) + 3 * place + seed,
            kind=Kind.CONFIRMATION,
            source=trial.number,
            seed=1000 + seed,
            values={"loss": 3.2 + spread * seed},
            holdout={"loss": 3.3 + spread * seed + gap * place},
        )
        for place, trial in enumerate(best)
        for seed in range(3)
    ]
    trials = [*record.trials, *runs]
    return replace(record, trials=trials, verdict=judge(trials, "loss", 1, None))


def test_the_page_of_a_search_has_all_parts(tmp_path: Path) -> None:
    space = make_space()
    page, counts = write(SearchRecord(space, ONE, make_trials(space, 24, early=True)), tmp_path)
    headings = re.findall("<h2>(.*?)</h2>", page)
    assert headings == [
        "The winner", "History", "Learning curves", "Which settings matter", "Parallel coordinates", "Each setting", "Cost",
        "Trials",
    ]  # fmt: skip
    charts = list(charts_of(page))
    assert len(charts) == 2 + 1 + 1 + 1 + len(DIMENSIONS)
    curves, parallel = charts[2], charts[4]
    assert len(curves.findall("polyline")) == len(parallel.findall("polyline")) == 24
    assert all(line.findtext("title", "").startswith("trial ") for line in parallel.findall("polyline"))
    assert "not set" in page and "stopped early at step 10" in page
    assert counts.counts["tr"] > 24


def test_the_verdict_stands_first(tmp_path: Path) -> None:
    space = make_space()
    plain = SearchRecord(space, ONE, make_trials(space, 12))
    assert "not confirmed with new seeds" in verdict_sentences(plain)[1]
    tie, win = with_confirmation(plain), with_confirmation(plain, gap=1.0)
    assert verdict_sentences(tie)[0].startswith("A tie: trial ")
    assert f"Trial {win.winner.number if win.winner else None} wins" in verdict_sentences(win)[0]
    loaded = replace(tie, trials=[replace(trial) for trial in tie.trials])  # other objects than those of the verdict
    page, _ = write(loaded, tmp_path)
    assert 'class="ink winner"' in page and "ink full" in page
    assert page.index("A tie: trial") < page.index("<h2>") and "Runs with new seeds" in page
    assert "(95% interval)" in page and "and 6 runs to confirm them" in page


@pytest.mark.parametrize("count", [0, 1, 2, 7, 500])
def test_any_number_of_trials_has_a_page(count: int, tmp_path: Path) -> None:
    space = make_space()
    page, counts = write(SearchRecord(space, ONE, make_trials(space, count, early=count > 2)), tmp_path)
    assert ("No trial was trained to the end yet" in page) == (count == 0)
    assert ("Too few trials" in page) == (count < 8)
    assert len(page) < 1_500_000 and counts.counts["tr"] > count


def test_names_and_values_are_shown_as_they_are(tmp_path: Path) -> None:
    dimension = Dimension(name=f"pretrain.{HOSTILE}", kind="categorical", choices=[HOSTILE, "<b>", '"', ""])
    space = make_space(dimension)
    signs = {"loss": 1, f"{HOSTILE}/acc": -1}
    trials = [
        replace(trial, change=HOSTILE, error=HOSTILE, state=State.FAILED if trial.number == 3 else trial.state)
        for trial in make_trials(space, 12, signs=signs)
    ]
    folder = tmp_path / "<i>'$x"
    folder.mkdir()
    page, counts = write(SearchRecord(space, signs, trials), folder)
    assert "script" not in counts.counts and "b" not in counts.counts and "i" not in counts.counts
    assert "&lt;script&gt;" in page and "${title}" in page and "\x1b" not in page
    assert "[red]" in console_text(SearchRecord(space, signs, trials))


def test_several_objectives_have_a_pareto_set(tmp_path: Path) -> None:
    space, signs = make_space(), {"loss": 1, "seconds": 1, "toy/acc": -1}
    values = [(3.0, 5.0, 0.5), (4.0, 4.0, 0.5), (4.0, 6.0, 0.4), (3.0, 5.0, 0.5), (9.0, 9.0, 0.9), (nan, 0.0, 1.0)]
    trials = [
        replace(trial, values=dict(zip(signs, row, strict=True)))
        for trial, row in zip(make_trials(space, 6, signs=signs), values, strict=True)
    ]
    record = SearchRecord(space, signs, trials)
    assert [trial.number for trial in record.pareto_set] == [0, 3, 1, 4]
    page, _ = write(record, tmp_path)
    assert "<h2>Pareto set</h2>" in page and "4 of 5 complete trials are in the Pareto set" in page
    assert "toy/acc ↑" in page and "seconds ↓" in page and "Pareto set" in console_text(record)


def test_trials_without_a_result_are_shown(tmp_path: Path) -> None:
    space = make_space()
    first, second, third, *_ = make_trials(space, 10)
    failed = replace(first, state=State.FAILED, values={}, curve=[], error="the loss is NaN")
    refused = replace(second, state=State.INFEASIBLE, values={}, curve=[], error="it is refused")
    page, _ = write(SearchRecord(space, ONE, [failed, refused]), tmp_path)
    assert "All 2 trials failed, the first one with: the loss is NaN" in page and "it is refused" in page
    running = replace(third, state=State.RUNNING, values={}, finished=0.0)
    endless = replace(third, number=3, values={"loss": inf}, curve=[CurvePoint(1, {"loss": nan})])
    page, _ = write(SearchRecord(space, ONE, [failed, refused, running, endless]), tmp_path)
    assert "1 running" in page and "failed, without a value" in page


def test_a_search_in_which_every_trial_has_the_same_value_has_a_page(tmp_path: Path) -> None:
    space = make_space()
    trials = [replace(t, values={"loss": 2.0}, curve=[CurvePoint(30, {"loss": 2.0})]) for t in make_trials(space, 10)]
    page, _ = write(SearchRecord(space, ONE, trials), tmp_path)
    assert "All trials have the same loss." in page


def test_outliers_do_not_flatten_a_chart() -> None:
    axis = value_axis("loss", [3.0, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6, 1e6], 1)
    assert axis.high < 5 and axis.share(1e6) == 1.0
    axis = value_axis("accuracy", [0.9, 0.8, 0.8, 0.8, 0.7, 0.7, 0.7, -50.0], -1)
    assert axis.low > 0 and axis.share(-50.0) == 0.0


def test_costs_add_up_and_tell_what_stopping_saved() -> None:
    space = make_space()
    record = SearchRecord(space, ONE, make_trials(space, 9, early=True))
    rows = {cost.name: cost for cost in costs(record)}
    assert (rows["complete"].tokens, rows["stopped early"].tokens, rows["all"].tokens) == (9000, 6000, 15000)
    assert describe_savings(record).startswith("6 of 9 trials stopped early. To train them to step 30, at the")
    assert "taken 27k tokens, 4.5 min and 270 Wh in all; the search took 15k tokens" in describe_savings(record)
    assert describe_waste(record) == "40% of the energy went into trials that were stopped early."
    assert describe_savings(SearchRecord(space, ONE, make_trials(space, 9))) == ""


def test_records_are_kept_and_others_discarded() -> None:
    space = make_space()
    values: Sequence[float] = [3.0, 4.0, 2.0, nan]
    trials = [replace(t, values={"loss": v}) for t, v in zip(make_trials(space, 4), values, strict=True)]
    head, rows = trial_table(SearchRecord(space, ONE, trials))
    assert [row[head.index("state")] for row in rows] == ["kept", "discarded", "kept", "complete"]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_the_page_fits_its_window_and_loads_nothing(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    dimension = Dimension(name=f"pretrain.{HOSTILE}", kind="categorical", choices=[HOSTILE, "b" * 300])
    space = make_space(dimension)
    page = write_search(tmp_path, SearchRecord(space, ONE, make_trials(space, 24, early=True)))
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for width in (400, 1200):
            window = browser.new_page(viewport={"width": width, "height": 800})
            messages: list[str] = []
            window.on("console", lambda message, messages=messages: messages.append(message.text))
            window.on("request", lambda request, messages=messages: messages.append(request.url))
            window.goto(page.as_uri())
            assert messages == [page.as_uri()]
            assert window.evaluate("document.documentElement.scrollWidth <= innerWidth")
        browser.close()
