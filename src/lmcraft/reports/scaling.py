"""The page of a scaling law: `scaling.html`, a single file that opens offline, and `scaling.json`."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from lmcraft.folder import write_json, write_text
from lmcraft.pretraining.scaling_law import Point, Scaling, ScalingLaw, optimum
from lmcraft.reports.chart import COLORS, Series, line_chart
from lmcraft.reports.table import key_value_rows
from lmcraft.reports.task_curves import task_sections
from lmcraft.reports.template import fill_page
from lmcraft.terminal import format_count

POINTS_PER_CURVE = 40


def write_scaling(folder: Path, scaling: Scaling) -> Path:
    """Write `scaling.json` and `scaling.html`; returns the page."""
    write_json(folder / "scaling.json", scaling.as_json())
    law = {name: f"{v:.4g} ({low:.4g} to {high:.4g})" for name, (v, low, high) in scaling.coefficients().items()}
    page = fill_page(
        "scaling.html",
        f"Scaling law of {escape(folder.resolve().name)}",
        summary=escape(scaling.summary()),
        reliability=escape(scaling.reliability()),
        tokens=_loss_by_tokens(scaling),
        operations=_loss_by_operations(scaling),
        law=key_value_rows(law),
        optimal=_rows(
            (format_count(o.flops), format_count(o.parameters), format_count(o.tokens), f"{o.loss:.4f}")
            for o in scaling.optimal
        ),
        tasks=task_sections(scaling.tasks),
        points=_rows(point_cells(p, scaling.fit.law) for p in scaling.points),
    )
    path = folder / "scaling.html"
    write_text(path, page)
    return path


def point_cells(point: Point, law: ScalingLaw) -> tuple[str, ...]:
    """The cells of a run's row: blocks, parameters, tokens, loss, the law's loss, and its error."""
    fitted = law.loss(point.parameters, point.tokens)
    counts = (str(point.depth), f"{point.parameters:,}", f"{point.tokens:,}")
    return (*counts, f"{point.loss:.4f}", f"{fitted:.4f}", f"{fitted / point.loss - 1:+.2%}")


def _loss_by_tokens(scaling: Scaling) -> str:
    law, points = scaling.fit.law, [*scaling.points, scaling.target]
    first, last = min(p.tokens for p in points), max(p.tokens for p in points)
    series = []
    for number, (depth, group) in enumerate(_by_size(points).items()):
        parameters, color = group[0].parameters, COLORS[number % len(COLORS)]
        line = [(float(tokens), law.loss(parameters, tokens)) for tokens in np.geomspace(first, last, POINTS_PER_CURVE)]
        series.append(Series(f"{_blocks(depth)}, {format_count(parameters)}", color, line))
        series.append(Series("", color, [(p.tokens, p.loss) for p in group if p.loss == p.loss], dots=True))
    series += _prediction(scaling, scaling.target.tokens)
    return line_chart(series, x_label="tokens", y_label="loss (nats per token)", log_x=True)


def _loss_by_operations(scaling: Scaling) -> str:
    series, last = [], 6 * scaling.target.parameters * scaling.target.tokens
    for number, (depth, group) in enumerate(_by_size(scaling.points).items()):
        dots = [(6 * p.parameters * p.tokens, p.loss) for p in group]
        series.append(Series(_blocks(depth), COLORS[number % len(COLORS)], dots, dots=True))
    first = min(6 * p.parameters * p.tokens for p in scaling.points)
    best = [(float(flops), optimum(scaling.fit.law, flops).loss) for flops in np.geomspace(first, last, POINTS_PER_CURVE)]
    series.append(Series("lowest loss of the law", "ink dashed", best))
    return line_chart(
        [*series, *_prediction(scaling, last)], x_label="operations (FLOP)", y_label="loss (nats per token)", log_x=True
    )


def _prediction(scaling: Scaling, x: float) -> list[Series]:
    """A bar for the interval, a dot for the prediction, and a filled dot for the actual loss."""
    prediction = scaling.prediction
    bar = Series("", "ink", [(x, prediction.low), (x, prediction.high)])
    actual = [Series("actual", "ink full", [(x, scaling.target.loss)], dots=True)] if scaling.trained else []
    return [bar, Series("predicted", "ink", [(x, prediction.loss)], dots=True), *actual]


def _blocks(depth: int) -> str:
    return "1 block" if depth == 1 else f"{depth} blocks"


def _by_size(points: Sequence[Point]) -> dict[int, list[Point]]:
    groups: dict[int, list[Point]] = {}
    for point in points:
        groups.setdefault(point.depth, []).append(point)
    return groups


def _rows(rows: Any) -> str:
    return "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
