"""The safety audit of a model, in its report."""

from collections.abc import Callable
from dataclasses import replace
from html import escape
from math import exp

from lmcraft.reports.chart import Interval, interval_chart
from lmcraft.reports.evidence import Figure, Safety
from lmcraft.reports.language import say
from lmcraft.reports.safety import FIGURE_NAMES
from lmcraft.reports.sections.quantities import link_file, numeric, say_figure, say_number
from lmcraft.reports.table import html_table

MAX_EXPONENT = 700
PERPLEXITY = "nats_per_token"


def safety_section(safety: Safety | None) -> str:
    """Charts and tables of the figures, and the gaps between groups."""
    if safety is None:
        return ""
    notes = [say("Scorer {hash}.", hash=safety.scorer_hash)] if safety.scorer_hash else []
    if not safety.is_complete:
        notes.append(say("Only a sample of the prompts was asked."))
    notes += [f"{reason}." for reason in safety.failed]
    figures = [(title, _shown(figure)) for title, figure in safety.figures]
    rows = [
        [say(title), say(FIGURE_NAMES.get(figure.name, figure.name)), _count(figure), say_figure(figure)]
        for title, figure in figures
    ]
    head = [say("measured on"), say("figure"), say("prompts"), say("value (95% interval)")]
    source = f'<p class="note">{say("From {files}", files=link_file(safety.file))}</p>'
    return f"<p>{escape(' '.join(notes))}</p>{_charts(figures)}{html_table(head, rows)}{_gaps(safety)}{source}"


def _shown(figure: Figure) -> Figure:
    """A loss as a perplexity, others as they are."""
    return _mapped(figure, lambda nats: exp(min(nats, MAX_EXPONENT))) if figure.name == PERPLEXITY else figure


def _mapped(figure: Figure, function: Callable[[float], float]) -> Figure:
    value = numeric(figure)
    if value is None:
        return figure
    low, high = (None if end is None else function(end) for end in (figure.low, figure.high))
    return replace(figure, value=function(value), low=low, high=high)


def _count(figure: Figure) -> str:
    return "" if figure.count is None else f"{figure.count:,}"


def _charts(figures: list[tuple[str, Figure]]) -> str:
    """A chart for each figure that is a share of prompts or samples."""
    charts: dict[str, list[Interval]] = {}
    for title, figure in figures:
        value = numeric(figure)
        if value is not None and figure.name in FIGURE_NAMES and figure.name not in (PERPLEXITY, "bits_per_byte"):
            charts.setdefault(figure.name, []).append(Interval(say(title), value, figure.low, figure.high))
    return "".join(interval_chart(bars, x_label=say(FIGURE_NAMES[name])) for name, bars in charts.items())


def _gaps(safety: Safety) -> str:
    if not safety.gaps:
        return ""
    head = [say(name) for name in ("measured on", "groups by", "gap", "by chance", "lowest", "highest", "adjusted p")]
    rows = [
        [
            say(gap.source),
            say(gap.attribute),
            say_figure(gap.gap),
            "" if gap.expected is None else say_figure(gap.expected),
            gap.lowest,
            gap.highest,
            "" if gap.p_value is None else say_number(gap.p_value, 3),
        ]
        for gap in safety.gaps
    ]
    return f"<h3>{escape(say('Gaps between groups'))}</h3>{html_table(head, rows)}"
