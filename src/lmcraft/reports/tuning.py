"""What tuning changed, as a part of a run's page: figures before and after, labels, answers side by side."""

import json
from html import escape
from typing import Any

from lmcraft.folder import ModelFolder
from lmcraft.reports.table import grid


def tuning(folder: ModelFolder) -> str:
    """HTML from `lmcraft/evaluation.json`; empty where a run has none."""
    file = folder.run / "evaluation.json"
    if not file.is_file():
        return ""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return "".join((_figures(found), _labels(found), _answers(found)))


def _figures(found: dict[str, Any]) -> str:
    rows = [[name, _figure(pair["before"]), _figure(pair["after"])] for name, pair in found["figures"].items()]
    if general := found.get("general"):
        name = f"perplexity on general text ({general['text']}): what was forgotten"
        rows.append([name, _figure(general["before"]), _figure(general["after"])])
    head = ["on held-out data", "before", "after, with the 95% interval"]
    return f"<h2>What changed</h2>{grid(head, rows)}"


def _figure(figure: dict[str, float] | None) -> str:
    return "" if figure is None else f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def _labels(found: dict[str, Any]) -> str:
    report = found.get("labels")
    if report is None:
        return ""
    single = len(report["confusion"][0]) == len(report["labels"])
    columns = report["labels"] if single else ["neither", "found wrongly", "missed", "found"]
    rows = [
        [label, f"{f1:.3f}", *map(str, counts)]
        for label, f1, counts in zip(report["labels"], report["f1"], report["confusion"], strict=True)
    ]
    said = f"Accuracy {report['accuracy']:.3f}, mean F1 of the labels {report['macro_f1']:.3f}, on {report['texts']} texts."
    return f"<h3>Labels: what a text is (rows), what was found (columns)</h3><p>{said}</p>{grid(['', 'F1', *columns], rows)}"


def _answers(found: dict[str, Any]) -> str:
    rows = [[answer[key] for key in ("asked", "wanted", "before", "after")] for answer in found.get("answers", ())]
    if not rows:
        return ""
    heading = escape(f"{len(rows)} held-out examples, none of them chosen")
    return f"<h3>{heading}</h3>{grid(['asked', 'wanted', 'before', 'after'], rows)}"
