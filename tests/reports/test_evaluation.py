"""The page of an evaluation."""

from pathlib import Path

from lmcraft.evaluation.results import CALIBRATION, ItemResult, Measure, Overlap, TaskResult, compute_figures
from lmcraft.reports.evaluation import figure_rows, write_evaluation

MEASURES = (Measure("acc"), *CALIBRATION)


def make_result(task: str, count: int = 40) -> TaskResult:
    items = [ItemResult(n, {"acc": float(n % 2), "ece": 0.5 + n / 100, "brier": 0.3 + n / 100}) for n in range(count)]
    overlap = Overlap(frozenset({1, 3}), frozenset())
    clean = [item for item in items if item.item not in overlap.contained]
    figures = compute_figures(MEASURES, items)
    return TaskResult(task, figures, 0.25, items, Path("x"), False, overlap, compute_figures(MEASURES, clean))


def test_a_row_has_the_interval_and_the_figure_without_what_was_read() -> None:
    head, rows = figure_rows([make_result("toy")])
    assert head[-2:] == ["in training data", "without these"]
    assert rows[0][:4] == ["toy", "40", "acc", "0.500"]
    assert rows[0][-3:] == ["0.250", "2", "0.474"]
    assert rows[1][0] == ""


def test_the_page_is_whole(tmp_path: Path) -> None:
    page = write_evaluation(
        tmp_path, "models/<mine>", {"precision": "fp32", "chat": False}, [make_result("a"), make_result("b")]
    )
    text = page.read_text()
    assert "Evaluation of models/&lt;mine&gt;" in text
    assert text.count("<h2>Reliability") == 2
    assert "http" not in text.replace("http-equiv", "")
