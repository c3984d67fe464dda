"""The fine-tuning section of a run's report: metrics before and after, results per label, and answers side by side."""

from html import escape
from typing import Any

from lmcraft.folder import ModelFolder
from lmcraft.folder.recognition import read_object
from lmcraft.reports.language import say
from lmcraft.reports.table import html_table, say_metric


def finetuning_section(folder: ModelFolder) -> str:
    """HTML from `lmcraft/evaluation.json`; empty if the run has none."""
    results = read_object(folder.run / "evaluation.json")
    if not results:
        return ""
    try:
        return "".join((_metrics(results), _labels(results), _answers(results)))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):  # edited by hand, or of another program
        sentence = say("lmcraft/evaluation.json is no result of a fine-tuning; it is left out.")
        return f'<p class="warning">{escape(sentence)}</p>'


def _metrics(results: dict[str, Any]) -> str:
    rows = [
        [say(name), _format_metric(pair["before"]), _format_metric(pair["after"])]
        for name, pair in results["metrics"].items()
    ]
    if general := results.get("general"):
        name = say("perplexity of general text ({text}), which rises with forgetting", text=general["text"])
        rows.append([name, _format_metric(general["before"]), _format_metric(general["after"])])
    head = [say("on held-out data"), say("before (95% interval)"), say("after (95% interval)")]
    return html_table(head, rows)


def _format_metric(metric: dict[str, float | None] | None) -> str:
    return "" if metric is None else say_metric(metric)


def _labels(results: dict[str, Any]) -> str:
    report = results.get("labels")
    if report is None:
        return ""
    single_label = len(report["confusion"][0]) == len(report["labels"])
    counts = [say("true negatives"), say("false positives"), say("false negatives"), say("true positives")]
    columns = report["labels"] if single_label else counts
    rows = [
        [label, f"{f1:.3f}", *map(str, row)]
        for label, f1, row in zip(report["labels"], report["f1"], report["confusion"], strict=True)
    ]
    summary = say(
        "Accuracy {accuracy}, macro F1 {f1}, on {n} texts.",
        accuracy=f"{report['accuracy']:.3f}",
        f1=f"{report['macro_f1']:.3f}",
        n=report["texts"],
    )
    heading = say("Predictions per label")
    if single_label:
        heading = say("Confusion matrix: true labels (rows), predicted labels (columns)")
    return f"<h3>{heading}</h3><p>{summary}</p>{html_table([say('label'), 'F1', *columns], rows)}"


def _answers(results: dict[str, Any]) -> str:
    columns = ["prompt", "expected", "before", "after"]
    rows = [[answer[key] for key in columns] for answer in results.get("answers", ())]
    if not rows:
        return ""
    heading = escape(say("{n} held-out examples, not selected", n=len(rows)))
    return f"<h3>{heading}</h3>{html_table([say(column) for column in columns], rows)}"
