"""The tasks in the page of a scaling law."""

import xml.etree.ElementTree as ET

from lmcraft.pretraining.task_curves import TaskCurve, TaskPoint
from lmcraft.reports.task_curves import task_sections, task_table
from lmcraft.statistics.intervals import Metric


def curve_of(*, accuracy: bool = True) -> TaskCurve:
    points = [
        TaskPoint(
            depth,
            1000 * depth,
            tokens,
            step,
            step == 20,
            Metric(0.25 * depth, 0.2 * depth, 0.3 * depth) if accuracy else None,
            Metric(3.0 - depth, 2.9 - depth, 3.1 - depth),
        )
        for depth in (1, 2)
        for step, tokens in ((10, 5000 * depth), (20, 10_000 * depth))
    ]
    return TaskCurve("a < b", "acc" if accuracy else "bits_per_byte", 500, 0.25 if accuracy else None, points, "No jump.")


def charts_of(page: str) -> list[ET.Element]:
    return [ET.fromstring("<svg" + part.split("</svg>")[0] + "</svg>") for part in page.split("<svg")[1:]]


def test_each_task_is_drawn_by_both_figures_over_sizes_and_tokens() -> None:
    page = task_sections([curve_of()])
    assert page.startswith("<h2>Task a &lt; b</h2><p>No jump.</p><p>500 items") and "acc, by tokens" in page
    charts = charts_of(page)
    assert [len(chart.findall("circle")) for chart in charts] == [2, 4 + 2, 2, 4 + 2]  # with the legend of the sizes
    assert [len(chart.findall("polyline")) for chart in charts] == [1, 1, 0, 0]  # chance
    bars = [len([line for line in chart.findall("line") if line.get("class") in ("a", "b")]) for chart in charts]
    assert bars == [2, 4, 2, 4]
    assert "<td>0.500 (0.400 to 0.600)</td><td>1.000 (0.900 to 1.100)</td>" in page


def test_a_task_without_accuracy_has_one_figure() -> None:
    curve = curve_of(accuracy=False)
    assert len(charts_of(task_sections([curve]))) == 2
    columns, rows = task_table(curve, curve.ends)
    assert columns == ["blocks", "parameters", "tokens", "bits_per_byte"] and len(rows) == 2
    assert task_sections([]) == ""
