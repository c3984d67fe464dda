"""The fine-tuning section of a run's report: metrics before and after, results per label, and answers side by side."""

import json
from html import escape
from typing import Any

from lmcraft.folder import ModelFolder
from lmcraft.reports.table import html_table
from lmcraft.statistics.intervals import describe_metric


def finetuning_section(folder: ModelFolder) -> str:
    """HTML from `lmcraft/evaluation.json`; empty if the run has none."""
    file = folder.run / "evaluation.json"
    if not file.is_file():
        return ""
    results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return "".join((_metrics(results), _labels(results), _answers(results)))


def _metrics(results: dict[str, Any]) -> str:
    rows = [
        [name, _format_metric(pair["before"]), _format_metric(pair["after"])] for name, pair in results["metrics"].items()
    ]
    if general := results.get("general"):
        name = f"perplexity of general text ({general['text']}), which rises with forgetting"
        rows.append([name, _format_metric(general["before"]), _format_metric(general["after"])])
    head = ["on held-out data", "before (95% interval)", "after (95% interval)"]
    return f"<h2>Before and after</h2>{html_table(head, rows)}"


def _format_metric(metric: dict[str, float | None] | None) -> str:
    return "" if metric is None else describe_metric(metric)


def _labels(results: dict[str, Any]) -> str:
    report = results.get("labels")
    if report is None:
        return ""
    single_label = len(report["confusion"][0]) == len(report["labels"])
    counts = ["true negatives", "false positives", "false negatives", "true positives"]
    columns = report["labels"] if single_label else counts
    rows = [
        [label, f"{f1:.3f}", *map(str, row)]
        for label, f1, row in zip(report["labels"], report["f1"], report["confusion"], strict=True)
    ]
    summary = f"Accuracy {report['accuracy']:.3f}, macro F1 {report['macro_f1']:.3f}, on {report['texts']} texts."
    heading = "Confusion matrix: true labels (rows), predicted labels (columns)" if single_label else "Predictions per label"
    return f"<h3>{heading}</h3><p>{summary}</p>{html_table(['', 'F1', *columns], rows)}"


def _answers(results: dict[str, Any]) -> str:
    columns = ["prompt", "expected", "before", "after"]
    rows = [[answer[key] for key in columns] for answer in results.get("answers", ())]
    if not rows:
        return ""
    heading = escape(f"{len(rows)} held-out examples, not selected")
    return f"<h3>{heading}</h3>{html_table(columns, rows)}"
