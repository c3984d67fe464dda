"""The report of a model folder: a single HTML file that opens offline."""

import math
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from lmcraft.folder import ModelFolder, mismatch_error, write_text
from lmcraft.folder.lock import holder_of
from lmcraft.folder.names import MODEL_CONFIGS
from lmcraft.reports.chart import Series, line_chart
from lmcraft.reports.evidence import Evidence, collect
from lmcraft.reports.finetuning import finetuning_section
from lmcraft.reports.language import page_language, say
from lmcraft.reports.sections.curves import loss_section, speed_section
from lmcraft.reports.sections.data import data_section
from lmcraft.reports.sections.details import missing_section, model_section, samples_section, settings_section
from lmcraft.reports.sections.energy import energy_section
from lmcraft.reports.sections.evaluations import evaluation_section, quantization_section
from lmcraft.reports.sections.headline import facts, subtitle, warnings
from lmcraft.reports.sections.lineage import lineage_section
from lmcraft.reports.sections.privacy import privacy_section
from lmcraft.reports.sections.safety import safety_section
from lmcraft.reports.table import key_value_rows
from lmcraft.reports.tasks import tasks_section
from lmcraft.reports.template import fill_bilingual
from lmcraft.terminal import escape_control_characters

if TYPE_CHECKING:
    from lmcraft.training.range_test import RangeTest


def write_report(folder: ModelFolder) -> Path:
    """Write `lmcraft/report.html` of a model folder: all that is known about its model, with charts.

    Damaged files are named on the page and left out.

    Raises:
        UserError: it is no model folder, and no run has begun in it.
    """
    files = [folder.config_toml, folder.metrics, *(folder.path / name for name in MODEL_CONFIGS)]
    if not any(file.is_file() for file in files):
        raise mismatch_error(folder.path, "model")
    evidence = collect(folder)
    is_alive = holder_of(folder.path) is not None

    def build() -> dict[str, str]:
        sections = [(name, title, contents) for name, title, contents in _sections(folder, evidence) if contents]
        language = page_language()
        return {
            "title": escape(evidence.name),
            "subtitle": escape(subtitle(evidence)),
            "warnings": warnings(evidence, is_alive=is_alive),
            "facts": facts(evidence),
            "contents": "".join(f'<li><a href="#{name}-{language}">{escape(title)}</a></li>' for name, title, _ in sections),
            "sections": "\n".join(
                f'<h2 id="{name}-{language}">{escape(title)}</h2>\n{contents}' for name, title, contents in sections
            ),
        }

    write_text(folder.report, escape_control_characters(fill_bilingual("page.html", build)))
    return folder.report


def _sections(folder: ModelFolder, evidence: Evidence) -> list[tuple[str, str, str]]:
    """The name, the title and the contents of each section."""
    training = evidence.training
    return [
        ("loss", say("Loss"), loss_section(training)),
        ("tuning", say("Before and after"), finetuning_section(folder)),
        ("tasks", say("Tasks during training"), tasks_section(training.rows if training is not None else ())),
        ("evaluations", say("Evaluations"), evaluation_section(evidence)),
        ("safety", say("Safety"), safety_section(evidence.safety)),
        ("privacy", say("Privacy"), privacy_section(evidence)),
        ("quantization", say("Quantization"), quantization_section(evidence.quantization)),
        ("energy", say("Energy and emissions"), energy_section(evidence)),
        ("speed", say("Speed, memory and learning rate"), speed_section(training)),
        ("samples", say("Samples during training"), samples_section(training)),
        ("data", say("Training data"), data_section(evidence)),
        ("lineage", say("Lineage"), lineage_section(folder, evidence.name)),
        ("model", say("Architecture"), model_section(evidence)),
        ("missing", say("Not measured"), missing_section(evidence)),
        ("settings", say("Settings"), settings_section(training)),
    ]


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
