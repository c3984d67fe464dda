"""The page of compared models."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from math import nan
from pathlib import Path

import pytest

from lmcraft.evaluation.compared import (
    Answered,
    ComparedFigure,
    ComparedModel,
    ComparedTask,
    Difference,
    DifferingItem,
    ModelComparison,
)
from lmcraft.evaluation.results import Measure
from lmcraft.reports.comparison import MAX_ITEMS_PER_GROUP, difference_table, summarize, write_comparison
from lmcraft.statistics.intervals import Metric

MODEL = ComparedModel("folder", "hash", 1000, 4000, 96, 64, 1.5, None)
ACCURACY = Measure("acc")


@pytest.fixture
def comparison() -> ModelComparison:
    difference = Difference(Metric(0.1, 0.02, 0.18), 0.0001, 0.0002, 0.11, "exact McNemar")
    tie = Difference(Metric(nan), None, None, nan, "paired t")
    metrics = {"<a>": Metric(0.4, 0.3, 0.5), "b": Metric(0.5, 0.4, 0.6)}
    items = [
        DifferingItem(f"t.jsonl:{n}", "1 < 2?", "yes", {"<a>": "no", "b": "yes"}, {"<a>": 0, "b": 1}, ("b",))
        for n in range(15)
    ]
    figures = [
        ComparedFigure(ACCURACY, 100, metrics, {("<a>", "b"): difference}, {"<a>": [], "b": []}),
        ComparedFigure(
            Measure("nats", "mean", higher_is_better=False), 100, metrics, {("<a>", "b"): tie}, {"<a>": ["b"], "b": ["<a>"]}
        ),
    ]
    task = ComparedTask("toy", 0.25, figures, ACCURACY, items)
    answers = [Answered("<p>", {"<a>": "<script>", "b": "x"})]
    return ModelComparison({"<a>": MODEL, "b": MODEL}, {"limit": 0}, "a machine", [task], answers, ["a note"])


def test_the_page_stands_alone_and_shows_texts_as_they_are(comparison: ModelComparison, tmp_path: Path) -> None:
    page = write_comparison(tmp_path, comparison).read_text()
    assert "$" not in page and "src=" not in page and "<script" not in page and "<a>" not in page
    assert "&lt;script&gt;" in page and "1 &lt; 2?" in page and "a note." in page
    assert f"Only b is right: 15 items, of which {MAX_ITEMS_PER_GROUP} are shown" in page
    assert page.count("1 &lt; 2?") == MAX_ITEMS_PER_GROUP
    assert "toy: 15 of 100, by acc" in page and "tokens per second" not in page and "nan" not in page
    [chart] = page.split("<svg")[1:]
    assert len(ET.fromstring("<svg" + chart.split("</svg>")[0] + "</svg>").findall("circle")) == 1


def test_the_file_holds_all_items_and_is_json(comparison: ModelComparison, tmp_path: Path) -> None:
    write_comparison(tmp_path, comparison)
    result = json.loads((tmp_path / "comparison.json").read_text())
    [task] = result["tasks"]
    assert len(task["differing"]) == 15
    figure, other = task["figures"]
    assert figure["differences"][0]["gain"] == {"value": 0.1, "low": 0.02, "high": 0.18}
    assert figure["differences"][0]["better"] == "b" and other["differences"][0]["gain"]["value"] is None
    assert result["comparisons"] == 1


def test_a_summary_counts_what_the_items_show(comparison: ModelComparison) -> None:
    assert summarize(comparison) == "Comparisons of two models in one figure: 1; b is better in 1, 0 tied."
    tied = replace(comparison, tasks=[replace(comparison.tasks[0], figures=comparison.tasks[0].figures[1:])])
    assert summarize(tied) == "Comparisons of two models in one figure: 0; 0 tied."
    _, [first, second] = difference_table(comparison)
    assert first[2:] == ["b - <a>", "+0.100 (+0.020 to +0.180)", "< 0.001", "< 0.001", "0.110", "b"]
    assert (first[1], second[1]) == ("acc", "nats ↓")
    assert second[2:] == ["b - <a>", "no finite value", "", "", "", "tied"]
