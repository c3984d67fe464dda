"""Curves of a run over its steps: loss, speed, memory and learning rate."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle
from typing import Any

from lmcraft.reports.chart import COLORS, MAX_NUMBER, MAX_POINTS_PER_LINE, Series, line_chart, small_chart
from lmcraft.reports.evidence import Training
from lmcraft.reports.language import say

SOURCE_LOSS = "validation_loss/"  # followed by the name of the source
MAX_SOURCES = 12  # with a curve of their own
MAX_STEP = 2**53
GIB = 2**30

Row = Mapping[str, Any]
Points = list[tuple[float, float]]


def points_of(rows: Sequence[Row], key: str, scale: float = 1.0) -> Points:
    """The steps and numbers of a key, by step; the last of several rows of one step counts."""
    numbers = ((row["step"], row[key]) for row in rows if type(row.get(key)) in (int, float))
    values = {step: number for step, number in numbers if -MAX_NUMBER <= number <= MAX_NUMBER and 0 <= step < MAX_STEP}
    return [(float(step), scale * values[step]) for step in sorted(values)]


def loss_section(training: Training | None) -> str:
    """The loss on the training and the validation data, and that of each source."""
    if training is None or not training.rows:
        return ""
    trained, validation = (points_of(training.rows, key) for key in ("loss", "validation_loss"))
    series = [Series(say("training"), "a", trained)] if trained else []  # a private run does not log it
    series.append(Series(say("validation"), "b", validation))
    if validation:
        best = min(validation, key=lambda point: point[1])
        series.append(Series("", "b", [best], dots=True, labels=[f"{best[1]:.4g}"]))
    chart = _chart(say("loss (nats per token)"), *series)
    notes = [say("The dot is the lowest validation loss; the weights of that step were kept.")] if validation else []
    if any(len(s.points) > MAX_POINTS_PER_LINE for s in series):
        notes.append(say("Bands reach from the lowest to the highest value of neighboring steps."))
    note = f'<p class="note">{escape(" ".join(notes))}</p>' if notes else ""
    return chart + note + _sources(training.rows)


def _sources(rows: Sequence[Row]) -> str:
    """The validation loss of each source; empty if the run had only one."""
    names = list(dict.fromkeys(key for row in rows for key in row if key.startswith(SOURCE_LOSS)))
    if not names:
        return ""
    styles = cycle(f"{color}{dash}" for dash in ("", " dashed") for color in COLORS)
    series = [
        Series(key.removeprefix(SOURCE_LOSS), style, points_of(rows, key))
        for key, style in zip(names[:MAX_SOURCES], styles, strict=False)
    ]
    more = f"<p>{escape(say('And {n} more.', n=len(names) - MAX_SOURCES))}</p>" if len(names) > MAX_SOURCES else ""
    return f"<h3>{say('Validation loss by source')}</h3>{_chart(say('loss (nats per token)'), *series)}{more}"


def _chart(label: str, *series: Series) -> str:
    return line_chart(series, x_label=say("step"), y_label=label)


def speed_section(training: Training | None) -> str:
    """Small charts of what a run did besides learning."""
    if training is None:
        return ""
    charts = [
        (say("tokens per second"), "a", points_of(training.rows, "tokens_per_second")),
        (say("peak memory (GiB)"), "c", points_of(training.rows, "peak_memory", 1 / GIB)),
        (say("learning rate"), "d", points_of(training.rows, "learning_rate")),
        (say("norm of the gradient"), "e", points_of(training.rows, "gradient_norm")),
    ]
    shown = "".join(small_chart([Series("", style, points)], say("step"), label) for label, style, points in charts)
    return f'<div class="small">{shown}</div>' if shown else ""
