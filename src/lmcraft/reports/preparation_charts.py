"""The charts of a prepared dataset: what each stage kept, and histograms with their thresholds."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lmcraft.preparation.output.histograms import LENGTH, SHARE_BINS, edges, nonempty
from lmcraft.reports.chart import BOTTOM, NAME_WIDTH, RIGHT, ROW_HEIGHT, TOP, WIDTH, Series, draw_text, figure, line_chart
from lmcraft.reports.language import say
from lmcraft.terminal import format_bytes

LABEL_WIDTH = 130  # right of the bars

Histograms = Mapping[str, list[int]]


def flow_chart(stages: Sequence[Mapping[str, Any]]) -> str:
    """An SVG element with a bar for each stage, as long as the text that came in: the share kept, and the share removed."""
    rows = [(stage["name"], stage["total"]) for stage in stages]
    if not rows:
        return f"<p>{say('The recipe has no stages: all text was kept.')}</p>"
    whole = max(1, *(total["in"]["bytes"] for _, total in rows))
    scale = (WIDTH - NAME_WIDTH - LABEL_WIDTH - RIGHT) / whole
    height = TOP + ROW_HEIGHT * len(rows) + BOTTOM // 2
    label = say("Bytes of text before each stage: kept, and removed.")
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">']
    for n, (name, total) in enumerate(rows):
        y, came_in, kept = TOP + ROW_HEIGHT * n, total["in"]["bytes"], total["kept"]["bytes"]
        parts.append(draw_text(NAME_WIDTH - 8, y + 16, name, "end", NAME_WIDTH - 8))
        for style, x, size in (("a", 0, kept), ("b", kept, came_in - kept)):
            title = f"{say('kept') if style == 'a' else say('removed')}: {format_bytes(size)}"
            position = f'x="{NAME_WIDTH + x * scale:.1f}" y="{y + 3}" width="{size * scale:.1f}" height="{ROW_HEIGHT - 6}"'
            parts.append(f'<rect class="{style}" {position}><title>{escape(title)}</title></rect>')
        share = f" \N{MINUS SIGN}{(came_in - kept) / came_in:.1%}" if came_in > kept else ""
        text = f"{format_bytes(came_in)}{share}"
        parts.append(draw_text(NAME_WIDTH + came_in * scale + 8, y + 16, text, "start", LABEL_WIDTH))
    return figure("".join([*parts, "</svg>"]))


def length_chart(histograms: Histograms, *steps: str) -> str:
    """How long the documents are, in characters, in all languages: what came in, and what is left."""
    series = []
    for step, style, name in zip(steps, "ba", (say("came in"), say("kept")), strict=True):
        own = [bins for key, bins in histograms.items() if key.startswith(f"{step}/") and key.split("/")[-2] == LENGTH]
        total = [sum(counts) for counts in zip(*own, strict=True)]
        series.append(Series(name, style, _outline(total)))
    chart = line_chart(series, x_label=say("characters of a document"), y_label=say("documents"), log_x=True)
    return f"<h3>{say('Length of documents')}</h3>{chart}"


def measure_charts(histograms: Histograms, stage: str) -> str:
    """A histogram for each measure of a stage."""
    charts = []
    for key, bins in histograms.items():
        if key.startswith(f"{stage}/"):
            *group, measure, threshold = key[len(stage) + 1 :].split("/")
            title = " · ".join(part for part in ("/".join(group), measure) if part)
            charts.append(f"<h4>{escape(title)}</h4>{_histogram(bins, measure, threshold)}")
    return "".join(charts)


def _histogram(bins: list[int], measure: str, threshold: str) -> str:
    series = [Series("", "a", _outline(bins))]
    if threshold:
        position = max(float(threshold), edges(bins)[0])  # 0 is in the first bin of an axis that has no 0
        line = [(position, 0.0), (position, float(max(bins)))]
        series.append(Series(say("threshold {threshold}", threshold=threshold), "ink dashed", line))
    return line_chart(series, x_label=measure, y_label=say("documents"), log_x=len(bins) != SHARE_BINS)


def _outline(bins: list[int]) -> list[tuple[float, float]]:
    """The outline of the bars of a histogram."""
    bars = list(nonempty(bins))
    if not bars:
        return []
    corners = [(edge, float(count)) for low, high, count in bars for edge in (low, high)]
    return [(corners[0][0], 0.0), *corners, (corners[-1][0], 0.0)]
