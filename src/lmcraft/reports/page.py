"""The report of a run: a single HTML file that opens offline."""

import json
import math
from html import escape
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, mismatch_error, write_text
from lmcraft.json_lines import read_json_lines
from lmcraft.reports.chart import COLORS, Series, line_chart
from lmcraft.reports.finetuning import finetuning_section
from lmcraft.reports.language import say
from lmcraft.reports.table import key_value_rows
from lmcraft.reports.tasks import tasks_section
from lmcraft.reports.template import fill_bilingual

if TYPE_CHECKING:
    from lmcraft.training.range_test import RangeTest


SOURCE_LOSS = "validation_loss/"  # followed by the name of the source


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
    samples = list(read_json_lines(folder.samples, step=int))
    config = folder.config_toml.read_text(encoding="utf-8")

    def build() -> dict[str, str]:
        return {
            "title": escape(folder.path.resolve().name),
            "facts": key_value_rows(_facts(rows)),
            "tuning": finetuning_section(folder),
            "loss": _chart(
                say("loss (nats per token)"),
                _series(say("training"), "a", rows, "loss"),
                _series(say("validation"), "b", rows, "validation_loss"),
            ),
            "sources": _sources_section(rows),
            "tasks": tasks_section(rows),
            "speed": _chart(say("tokens per second"), _series("", "a", rows, "tokens_per_second")),
            "rate": _chart(say("learning rate"), _series("", "a", rows, "learning_rate")),
            "samples": "".join(
                f"<h3>{say('step {step}', step=row['step'])}</h3><pre>{escape(row['text'])}</pre>" for row in samples
            ),
            "config": escape(config),
            "lineage": key_value_rows({name: str(value) for name, value in lineage.items()}),
        }

    write_text(folder.report, fill_bilingual("page.html", build))
    return folder.report


def _chart(label: str, *series: Series) -> str:
    return line_chart(series, x_label=say("step"), y_label=label)


def write_range_test(folder: ModelFolder, test: "RangeTest", rates: dict[str, float]) -> Path:
    """Write `lmcraft/range_test.html`: the loss by learning rate, and each of `rates` scaled by the steepest factor."""
    points = [(math.log10(factor), loss) for factor, loss in test.points]

    def build() -> dict[str, str]:
        summary = say(
            "The loss during {steps} steps with rising learning rates (arXiv 1506.01186). It falls fastest at {steepest} "
            "times the run's learning rates, and rises above {lowest} times.",
            steps=len(points),
            steepest=f"{test.steepest:.2g}",
            lowest=f"{test.lowest:.2g}",
        )
        return {
            "title": escape(say("Learning rates of {name}", name=folder.path.resolve().name)),
            "summary": escape(summary),
            "chart": line_chart(
                [Series(say("training"), "a", points)],
                x_label=say("learning rates times 10^x"),
                y_label=say("loss (nats per token)"),
            ),
            "rates": key_value_rows({name: f"{rate:.3g} → {test.steepest * rate:.3g}" for name, rate in rates.items()}),
        }

    page = fill_bilingual("range_test.html", build)
    path = folder.run / "range_test.html"
    write_text(path, page)
    return path


def _series(name: str, style: str, rows: list[dict[str, Any]], key: str) -> Series:
    return Series(name, style, [(row["step"], row[key]) for row in rows if key in row])


def _sources_section(rows: list[dict[str, Any]]) -> str:
    """The validation loss of each source; empty if the run had only one."""
    names = dict.fromkeys(key for row in rows for key in row if key.startswith(SOURCE_LOSS))
    if not names:
        return ""
    styles = (f"{color}{dash}" for dash in ("", " dashed") for color in COLORS)
    series = [
        _series(key.removeprefix(SOURCE_LOSS), style, rows, key) for key, style in zip(names, cycle(styles), strict=False)
    ]
    return f"<h3>{say('Validation loss by source')}</h3>{_chart(say('loss (nats per token)'), *series)}"


def _facts(rows: list[dict[str, Any]]) -> dict[str, str]:
    steps = [row for row in rows if "loss" in row]
    measured = [row for row in rows if "validation_loss" in row]
    facts = {
        say("steps"): f"{steps[-1]['step']:,}",
        say("tokens"): f"{steps[-1]['tokens']:,}",
        say("training time"): say("{seconds} s", seconds=f"{steps[-1]['seconds']:.0f}"),
        say("speed"): say("{rate} tokens/s", rate=f"{median(row['tokens_per_second'] for row in steps):,.0f}"),
        say("peak memory"): f"{max(row['peak_memory'] for row in steps) / 2**30:.2f} GiB",
    }
    if shares := [row["share_of_peak"] for row in steps if "share_of_peak" in row]:
        facts[say("share of peak speed")] = f"{sum(shares) / len(shares):.0%}"
    if measured:
        best = min(measured, key=lambda row: row["validation_loss"])
        loss = f"{best['validation_loss']:.4f}"
        facts[say("best validation loss")] = say("{loss} nats per token, at step {step}", loss=loss, step=best["step"])
        if "bits_per_byte" in best:
            facts[say("bits per byte")] = f"{best['bits_per_byte']:.4f}"
    return facts
