"""The page of a coordinate check: `coordinate_check.html`, a single file that opens offline."""

from html import escape
from pathlib import Path

from lmcraft.folder import ModelFolder, write_text
from lmcraft.pretraining.coordinate_check import KINDS, MAX_SLOPE, SEEDS, STEPS, CoordinateCheck, Floats
from lmcraft.reports.axis import Axis
from lmcraft.reports.chart import Series, draw_chart
from lmcraft.reports.table import html_table
from lmcraft.reports.template import fill_page

SIZE = (360, 240)  # of a chart, in pixels
SHADES = 4  # CSS classes of the lines before the last one


def write_coordinate_check(folder: ModelFolder, check: CoordinateCheck) -> Path:
    """Write `lmcraft/coordinate_check.html`; returns the page."""
    page = fill_page(
        "coordinate_check.html",
        f"Coordinate check of {escape(folder.path.resolve().name)}",
        summary=escape(check.summary()),
        widths=", ".join(map(str, check.widths)),
        steps=STEPS,
        seeds=SEEDS,
        bound=MAX_SLOPE,
        verdicts=html_table(("outputs", "slope (each seed)", "change"), verdict_rows(check)),
        charts="".join(
            f'<h2>{kind}</h2><div class="pair">{_chart(check, check.changes[number], "change")}'
            f"{_chart(check, check.sizes[number], 'size')}</div>"
            for number, kind in enumerate(KINDS)
        ),
    )
    path = folder.run / "coordinate_check.html"
    write_text(path, page)
    return path


def verdict_rows(check: CoordinateCheck) -> list[tuple[str, str, str]]:
    """A row for each kind of output: its name, its slopes and what they mean."""
    rows = []
    for kind in KINDS:
        slopes = check.slopes(kind)
        each = ", ".join(f"{slope:.2f}" for slope in slopes)
        rows.append((kind, f"{slopes.mean():.2f} ({each})", check.verdict(kind)))
    return rows


def _chart(check: CoordinateCheck, values_SWN: Floats, label: str) -> str:
    """The mean over the seeds by width, a line for each step; zeros, which have no logarithm, are left out."""
    lines, ends = [], [(float(width), str(width)) for width in check.widths]
    for step, values_W in enumerate(values_SWN.mean(axis=0).T):
        shade = "" if step == STEPS else f" s{SHADES * step // STEPS}"
        points = [(float(width), float(value)) for width, value in zip(check.widths, values_W, strict=True) if value > 0]
        lines.append(Series("", f"a{shade}", points, titles=(f"step {step}",)))
    values = [value for line in lines for _, value in line.points] or [1.0]
    width = Axis("width", ends, ends[0][0], ends[-1][0], log=True)
    return draw_chart(lines, width, Axis.of_numbers(label, values, log=True), *SIZE)
