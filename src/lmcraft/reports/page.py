"""The report of a run: a single HTML file that opens offline."""

import json
import math
from html import escape
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, mismatch_error, write_text
from lmcraft.json_lines import read_json_lines
from lmcraft.reports.chart import Series, line_chart
from lmcraft.reports.finetuning import finetuning_section
from lmcraft.reports.table import key_value_rows
from lmcraft.reports.tasks import tasks_section
from lmcraft.reports.template import fill_page

if TYPE_CHECKING:
    from lmcraft.training.range_test import RangeTest


def write_report(folder: ModelFolder) -> Path:
    """Write `lmcraft/report.html` of a model folder from its metrics, samples and configuration.

    Raises:
        UserError: the folder holds no run, or its records are missing or damaged.
    """
    rows = list(read_json_lines(folder.metrics, step=int))
    if not any("loss" in row for row in rows):
        if not folder.config_toml.is_file():
            raise mismatch_error(folder.path, "run")
        state = "has no steps" if folder.metrics.exists() else "is missing"
        raise UserError(f"'{folder.metrics}' {state}, so that there is nothing to report: restore it from a copy")
    lineage = json.loads(folder.lineage.read_text(encoding="utf-8")) if folder.lineage.exists() else {}
    page = fill_page(
        "page.html",
        escape(folder.path.resolve().name),
        facts=key_value_rows(_facts(rows)),
        tuning=finetuning_section(folder),
        loss=line_chart(
            [_series("training", "a", rows, "loss"), _series("validation", "b", rows, "validation_loss")],
            x_label="step",
            y_label="loss (nats per token)",
        ),
        tasks=tasks_section(rows),
        speed=line_chart(
            [_series("tokens per second", "a", rows, "tokens_per_second")], x_label="step", y_label="tokens per second"
        ),
        rate=line_chart([_series("learning rate", "a", rows, "learning_rate")], x_label="step", y_label="learning rate"),
        samples="".join(
            f"<h3>step {row['step']}</h3><pre>{escape(row['text'])}</pre>"
            for row in read_json_lines(folder.samples, step=int)
        ),
        config=escape(folder.config_toml.read_text(encoding="utf-8")),
        lineage=key_value_rows({name: str(value) for name, value in lineage.items()}),
    )
    write_text(folder.report, page)
    return folder.report


def write_range_test(folder: ModelFolder, test: "RangeTest", rates: dict[str, float]) -> Path:
    """Write `lmcraft/range_test.html`: the loss by learning rate, and each of `rates` scaled by the steepest factor."""
    points = [(math.log10(factor), loss) for factor, loss in test.points]
    page = fill_page(
        "range_test.html",
        f"Learning rates of {escape(folder.path.resolve().name)}",
        steps=len(points),
        steepest=f"{test.steepest:.2g}",
        lowest=f"{test.lowest:.2g}",
        chart=line_chart(
            [Series("training", "a", points)], x_label="learning rates times 10^x", y_label="loss (nats per token)"
        ),
        rates=key_value_rows({name: f"{rate:.3g} → {test.steepest * rate:.3g}" for name, rate in rates.items()}),
    )
    path = folder.run / "range_test.html"
    write_text(path, page)
    return path


def _series(name: str, style: str, rows: list[dict[str, Any]], key: str) -> Series:
    return Series(name, style, [(row["step"], row[key]) for row in rows if key in row])


def _facts(rows: list[dict[str, Any]]) -> dict[str, str]:
    steps = [row for row in rows if "loss" in row]
    measured = [row for row in rows if "validation_loss" in row]
    facts = {
        "steps": f"{steps[-1]['step']:,}",
        "tokens": f"{steps[-1]['tokens']:,}",
        "training time": f"{steps[-1]['seconds']:.0f} s",
        "speed": f"{median(row['tokens_per_second'] for row in steps):,.0f} tokens/s",
        "peak memory": f"{max(row['peak_memory'] for row in steps) / 2**30:.2f} GiB",
    }
    if shares := [row["share_of_peak"] for row in steps if "share_of_peak" in row]:
        facts["share of peak speed"] = f"{sum(shares) / len(shares):.0%}"
    if measured:
        best = min(measured, key=lambda row: row["validation_loss"])
        facts["best validation loss"] = f"{best['validation_loss']:.4f} nats per token, at step {best['step']}"
        if "bits_per_byte" in best:
            facts["bits per byte"] = f"{best['bits_per_byte']:.4f}"
    return facts
