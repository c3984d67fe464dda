"""Results of `lmcraft evaluate` with their intervals, and what quantization cost."""

from collections.abc import Sequence
from html import escape

from lmcraft.reports.chart import Interval, interval_chart
from lmcraft.reports.evidence import Evidence, Figure, Quantization, TaskEvaluation
from lmcraft.reports.language import say
from lmcraft.reports.sections.quantities import link_file, numeric, say_figure
from lmcraft.reports.table import html_table

MAX_PER_CHART = 60


def evaluation_section(evidence: Evidence) -> str:
    """A forest plot of the main figures, and a table of all."""
    results = evidence.evaluations
    outdated = _outdated(evidence.outdated)
    if not results:
        return outdated
    meaning = say("Values with 95% intervals; chance is what a model that guesses reaches.")
    files = ", ".join(link_file(result.file) for result in results[:MAX_PER_CHART])
    sources = f'<p class="note">{say("From {files}", files=files)}</p>'
    return f"<p>{escape(meaning)}</p>{_charts(results)}{_table(results)}{sources}{outdated}"


def _charts(results: Sequence[TaskEvaluation]) -> str:
    """A chart for each kind of main figure."""
    charts: dict[str, list[Interval]] = {}
    for result in results:
        main = result.figures[0]
        if (value := numeric(main)) is not None:
            bar = Interval(result.task, value, main.low, main.high, numeric(result.chance))
            charts.setdefault(main.name, []).append(bar)
    return "".join(
        interval_chart(
            bars[:MAX_PER_CHART],
            x_label=name,
            mark_label=say("chance") if any(bar.mark is not None for bar in bars) else "",
        )
        for name, bars in charts.items()
    )


def _table(results: Sequence[TaskEvaluation]) -> str:
    has_overlap = any(result.overlap is not None for result in results)
    head = [say("task"), say("items"), say("figure"), say("value (95% interval)"), say("chance")]
    if has_overlap:
        head += [say("in training data"), say("without these")]
    rows = []
    for result in results:
        clean = {figure.name: figure for figure in result.clean_figures}
        for n, figure in enumerate(result.figures):
            row = [result.task if n == 0 else "", f"{figure.count:,}" if n == 0 and figure.count is not None else ""]
            row += [figure.name, say_figure(figure), _say(result.chance) if n == 0 else ""]
            if has_overlap:
                row += [_say(result.overlap) if n == 0 else "", _say(clean.get(figure.name))]
            rows.append(row)
    return html_table(head, rows)


def _say(figure: Figure | None) -> str:
    return "" if figure is None else say_figure(figure)


def _outdated(files: Sequence[str]) -> str:
    if not files:
        return ""
    sentence = say("Results that other weights had are left out:")
    return f'<p class="note">{escape(sentence)} {", ".join(map(link_file, files[:MAX_PER_CHART]))}</p>'


def quantization_section(quantization: Quantization | None) -> str:
    """What the weights lost when they were rounded."""
    if quantization is None:
        return ""
    sentence = say(
        "The weights have {bits} bits ({method}). Measured on {text}:",
        bits=quantization.bits,
        method=quantization.method or "-",
        text=quantization.text or "-",
    )
    rows = [[say(figure.name), say_figure(figure)] for figure in quantization.figures]
    return f"<p>{escape(sentence)}</p>{html_table([say('figure'), say('value')], rows)}"
