"""The fine-tuning section of a report."""

from pathlib import Path
from typing import Any

from lmcraft.folder import ModelFolder, write_json
from lmcraft.reports.finetuning import finetuning_section

FIGURE = {"value": 0.5, "low": 0.25, "high": 0.75}


def section(folder: Path, results: dict[str, Any]) -> str:
    write_json(ModelFolder(folder).run / "evaluation.json", {"metrics": {}} | results)
    return finetuning_section(ModelFolder(folder))


def test_a_run_without_an_evaluation_has_no_section(tmp_path: Path) -> None:
    assert finetuning_section(ModelFolder(tmp_path)) == ""


def test_figures_are_shown_before_and_after_with_their_intervals(tmp_path: Path) -> None:
    metrics = {"accuracy": {"before": FIGURE, "after": FIGURE | {"value": 0.625}}, "new": {"before": None, "after": FIGURE}}
    html = section(tmp_path, {"metrics": metrics, "general": {"text": "a.txt", "before": FIGURE, "after": FIGURE}})
    assert (
        "0.500 (0.250 to 0.750)" in html
        and "0.625 (0.250 to 0.750)" in html
        and "perplexity of general text (a.txt)" in html
    )


def test_answers_are_side_by_side_and_escaped(tmp_path: Path) -> None:
    html = section(tmp_path, {"answers": [{"prompt": "<b>", "expected": "x", "before": "y", "after": "z"}]})
    assert "1 held-out examples, not selected" in html and "&lt;b&gt;" in html and "<b>" not in html


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    assert "is no result of a fine-tuning" in section(tmp_path, {"metrics": 3})


def test_labels_have_a_confusion_matrix_or_counts(tmp_path: Path) -> None:
    report = {"labels": ["a", "b"], "f1": [1.0, 0.5], "accuracy": 0.75, "macro_f1": 0.75, "texts": 8}
    single = section(tmp_path, {"labels": report | {"confusion": [[4, 0], [2, 2]]}})
    assert "Confusion matrix" in single and "macro F1 0.750, on 8 texts" in single
    several = section(tmp_path, {"labels": report | {"confusion": [[4, 0, 0, 4], [2, 2, 2, 2]]}})
    assert "false positives" in several
