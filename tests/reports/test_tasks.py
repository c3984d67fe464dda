"""The tasks of a run's report."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from lmcraft.reports.tasks import tasks_section


def row_of(step: int, accuracy: list[float | None], bits: list[float | None]) -> dict[str, Any]:
    tasks = {"a < b": {"acc": accuracy, "bits_per_byte": bits, "other": [1.0, None, None]}}
    return {"step": step, "tasks": tasks, "items": {"a < b": 1000}, "chance": {"a < b": 0.25}, "task_seconds": 1.0}


def test_each_task_has_its_curves_with_their_intervals() -> None:
    rows = [
        {"step": 0, "loss": 2.0},
        row_of(0, [0.2, 0.1, 0.3], [2.0, None, None]),
        row_of(50, [0.5, 0.4, 0.6], [1, 0.9, 1.1]),
    ]
    page = tasks_section(rows)
    charts = [ET.fromstring("<svg" + part.split("</svg>")[0] + "</svg>") for part in page.split("<svg")[1:]]
    assert [len(chart.findall("polyline")) for chart in charts] == [2, 1]  # with the line of chance
    assert [len(chart.findall("polygon")) for chart in charts] == [1, 1]
    assert "a &lt; b" in page and "1,000 items" in page
    assert "<td>0.200 (0.100 to 0.300)</td><td>0.500 (0.400 to 0.600)</td>" in page


def test_a_run_without_tasks_has_no_section() -> None:
    assert tasks_section([{"step": 1, "loss": 2.0}]) == ""


@pytest.mark.parametrize(
    "tasks",
    [3, {"a": 1}, {"a": {}}, {"a": {"acc": []}}, {"a": {"acc": ["x", None, None]}}, {"a": {"acc": [0.5, 0.1, None]}}],
    ids=str,
)
def test_rows_that_are_no_scores_are_left_out(tasks: Any) -> None:
    assert tasks_section([{"step": 1, "tasks": tasks, "items": {"a": 1}, "chance": {}}]) == ""
