"""The charts of a search: history, learning curves, parallel coordinates, slices, and the Pareto set."""

from collections.abc import Callable, Sequence
from html import escape
from itertools import combinations
from statistics import median

from lmcraft.hyperparameters.space import Dimension
from lmcraft.hyperparameters.trial import State, Trial, Value
from lmcraft.reports.axis import Axis
from lmcraft.reports.chart import BOTTOM, TOP, WIDTH, Series, draw_chart, draw_text
from lmcraft.reports.search_record import STATES, SearchRecord, format_value

SLICE_WIDTH, SLICE_HEIGHT = 360, 240
MIN_AXIS_GAP, PARALLEL_HEIGHT = 130, 380  # of parallel coordinates
NAME_ROOM = 76  # left and right of the axes
NOT_SET = 22  # below the axes
LABEL_HEIGHT = 16  # names of neighbors stand in two rows
MANY_LINES = 100  # from here on they are fainter
LEVELS = 5  # of colors, CSS classes v0 (best) to v4
MIN_VALUES_TO_CUT = 8
MAX_GAPS = 5  # between ticks
DOT_STYLES = {State.COMPLETE: "a", State.PAUSED: "faint", State.RUNNING: "c"}

GetPosition = Callable[[Trial], float | None]


def history_charts(record: SearchRecord, objective: str) -> str:
    """The value of each trial and the best so far, by the number of the trial and, for the main objective, by time."""
    charts = [_history(record, objective, "trial", lambda trial: float(trial.number))]
    if not charts[0]:
        return f"<p>No trial has a value of {escape(objective)} yet.</p>"
    begin = min((trial.created for trial in record.searched if trial.created), default=0.0)
    if objective == record.main_objective and begin:
        last = max(max(trial.finished, trial.created) for trial in record.searched) - begin
        unit, seconds = next((u, s) for u, s in (("hours", 3600), ("minutes", 60), ("seconds", 1)) if last > 2 * s or s == 1)

        def ended(trial: Trial) -> float | None:
            """When it ended or, if it stopped early, when it began."""
            return (max(trial.finished, trial.created) - begin) / seconds if trial.created else None

        charts.append(_history(record, objective, unit, ended))
    return "".join(charts)


def _history(record: SearchRecord, objective: str, label: str, position: GetPosition) -> str:
    dots: dict[State, list[tuple[float, float, str]]] = {}
    failed = []
    for trial in record.searched:
        if (x := position(trial)) is None:
            continue
        value = record.latest_value(trial, objective)
        if value is not None:
            dots.setdefault(trial.state, []).append((x, value, record.describe_trial(trial)))
        elif trial.state in (State.FAILED, State.INFEASIBLE):
            failed.append((x, f"{record.describe_trial(trial)}; {trial.error}"))
    values = [y for group in dots.values() for _, y, _ in group]
    if not values:
        return ""
    y_axis = value_axis(objective, values, record.signs[objective])
    worst = y_axis.high if record.signs[objective] > 0 else y_axis.low
    series = [
        Series(STATES[state], DOT_STYLES.get(state, "b"), [(x, y) for x, y, _ in group], True, titles=[t for *_, t in group])
        for state, group in sorted(dots.items())
    ]
    series.append(
        Series("failed, without a value", "b", [(x, worst) for x, _ in failed], True, titles=[t for _, t in failed])
    )
    series.append(Series("best so far", "ink", _best_so_far(record, objective, position)))
    xs = [x for s in series for x, _ in s.points]
    return draw_chart(series, Axis.of_numbers(label, [0, 1, *xs]), y_axis)


def _best_so_far(record: SearchRecord, objective: str, position: GetPosition) -> list[tuple[float, float]]:
    """The corners of a staircase over the complete trials."""
    placed = [(x, trial.values[objective]) for trial in record.complete if (x := position(trial)) is not None]
    ends = [x for trial in record.searched if (x := position(trial)) is not None]
    steps: list[tuple[float, float]] = []
    sign = record.signs[objective]
    for x, value in sorted(placed):
        if not steps or sign * value < sign * steps[-1][1]:
            steps += [(x, steps[-1][1])] if steps else []
            steps.append((x, value))
    return [*steps, (max(ends), steps[-1][1])] if steps else []


def value_axis(label: str, values: Sequence[float], sign: int) -> Axis:
    """An axis of an objective, which leaves out outliers."""
    return Axis.of_numbers(label, _without_outliers(values, sign))


def _without_outliers(values: Sequence[float], sign: int) -> list[float]:
    """The values without those more than four times as far from the best one as the median is."""
    signed = sorted(sign * value for value in values)
    middle = median(signed)
    end = middle + 3 * (middle - signed[0])
    if len(signed) < MIN_VALUES_TO_CUT or middle == signed[0]:
        end = signed[-1]
    return [sign * value for value in signed if value <= end]


def curves_chart(record: SearchRecord, objective: str) -> str:
    """The learning curves of all trials; empty if none has one."""
    curves = {
        trial.number: [(float(p.step), p.values[objective]) for p in trial.curve if objective in p.values]
        for trial in record.searched
    }
    curves = {number: [(x, y) for x, y in points if y - y == 0] for number, points in curves.items()}
    points = [point for curve in curves.values() for point in curve]
    if len({x for x, _ in points}) < 2:
        return ""
    colors = _colors(record, objective)
    series = []
    for trial in sorted(record.searched, key=lambda trial: trial is record.winner):
        is_winner = trial is record.winner
        style = "ink winner" if is_winner else f"{colors.get(trial.number, 'b')} thin"
        curve, titles = curves[trial.number], [record.describe_trial(trial)]
        name = f"trial {trial.number}, the best" if is_winner else ""
        series.append(Series(name, style, curve, titles=titles))
        if not is_winner and curve:  # a curve of one point is visible, and the end of a short one is clear
            series.append(Series("", style, curve[-1:], dots=True, titles=titles))
    x_axis = Axis.of_numbers("step", [0.0, *(x for x, _ in points)])
    ends = [[choose(y for _, y in curve) for curve in curves.values() if curve] for choose in (min, max)]
    y_axis = Axis.of_numbers(objective, [y for group in ends for y in _without_outliers(group, record.signs[objective])])
    return draw_chart(series, x_axis, y_axis)


def _colors(record: SearchRecord, objective: str) -> dict[int, str]:
    """CSS classes of the trials that have a value, by their rank."""
    values = {
        trial.number: record.signs[objective] * value
        for trial in record.searched
        if (value := record.latest_value(trial, objective)) is not None
    }
    ordered = sorted(values, key=lambda number: values[number])
    return {number: f"v{rank * LEVELS // len(ordered)}" for rank, number in enumerate(ordered)}


def dimension_axis(record: SearchRecord, dimension: Dimension) -> Axis:
    """The axis of a setting: its choices, or its range, which may be logarithmic."""
    label = record.names[dimension.name]
    if dimension.kind == "categorical":
        return Axis.of_names(label, [format_value(choice) for choice in dimension.choices])
    gaps = int(dimension.high - dimension.low) if dimension.kind == "int" else MAX_GAPS
    return Axis.of_numbers(label, [dimension.low, dimension.high], log=dimension.log, count=max(1, min(gaps, MAX_GAPS)))


def _position(dimension: Dimension, value: Value | None) -> float | None:
    """Where a value is on the axis of its dimension; None if the point does not have it."""
    if value is None or not dimension.contains(value):
        return None
    return float(dimension.index_of(value) if dimension.kind == "categorical" else value)


def slice_charts(record: SearchRecord, objective: str) -> str:
    """The objective by each setting, one small chart each."""
    drawn = sorted(record.searched, key=lambda trial: (trial is record.winner, trial.state is State.COMPLETE))  # last on top
    valued = [(trial, y) for trial in drawn if (y := record.latest_value(trial, objective)) is not None]
    if not valued:
        return ""
    y_axis = value_axis(objective, [y for _, y in valued], record.signs[objective])
    charts = []
    for dimension in record.space.dimensions:
        groups: dict[str, list[tuple[float, float, str]]] = {}
        for trial, y in valued:
            if (x := _position(dimension, trial.point.get(dimension.name))) is not None:
                style = "ink full" if trial is record.winner else DOT_STYLES.get(trial.state, "b")
                text = f"trial {trial.number}: {format_value(trial.point[dimension.name])}, {format_value(y)}"
                groups.setdefault(style, []).append((x, y, text))
        series = [
            Series("", style, [(x, y) for x, y, _ in group], dots=True, titles=[text for *_, text in group])
            for style, group in groups.items()
        ]
        charts.append(draw_chart(series, dimension_axis(record, dimension), y_axis, SLICE_WIDTH, SLICE_HEIGHT))
    return f'<div class="slices">{"".join(charts)}</div>'


def pareto_charts(record: SearchRecord) -> str:
    """Each pair of objectives, with the Pareto set."""
    front = {trial.number for trial in record.pareto_set}
    charts = []
    for a, b in combinations(record.signs, 2):
        groups = {
            "complete": [trial for trial in record.complete if trial.number not in front],
            "Pareto set": record.pareto_set,
        }
        series = [
            Series(
                name,
                "faint" if name == "complete" else "a",
                [(trial.values[a], trial.values[b]) for trial in group],
                dots=True,
                titles=[record.describe_trial(trial) for trial in group],
            )
            for name, group in groups.items()
        ]
        x, y = (value_axis(name, [t.values[name] for t in record.complete], record.signs[name]) for name in (a, b))
        charts.append(draw_chart(series, x, y))
    return "".join(charts)


def parallel_chart(record: SearchRecord, objective: str) -> str:
    """Parallel coordinates: an axis for each setting and one for the objective, a line for each trial."""
    colors = _colors(record, objective)
    drawn = sorted(colors, key=lambda number: colors[number], reverse=True)  # last on top
    by_number = {trial.number: trial for trial in record.searched}
    trials = sorted((by_number[number] for number in drawn), key=lambda trial: trial is record.winner)
    if not trials:
        return ""
    values = {trial.number: record.latest_value(trial, objective) or 0.0 for trial in trials}
    axes = [dimension_axis(record, dimension) for dimension in record.space.dimensions]
    axes.append(value_axis(objective, list(values.values()), record.signs[objective]))
    gap = max(MIN_AXIS_GAP, (WIDTH - 2 * NAME_ROOM) // max(1, len(axes) - 1))
    width = 2 * NAME_ROOM + gap * (len(axes) - 1)
    top, bottom = TOP + 2 * LABEL_HEIGHT, PARALLEL_HEIGHT - BOTTOM
    has_gaps = any(dimension.when for dimension in record.space.dimensions)
    style = "parallel many" if len(trials) >= MANY_LINES else "parallel"
    size = f'viewBox="0 0 {width} {PARALLEL_HEIGHT}" style="min-width: {width}px"'
    parts = [f'<svg class="{style}" {size} role="img" aria-label="parallel coordinates">']

    def to_pixels(number: int, value: float | None) -> str:
        height = bottom + NOT_SET if value is None else bottom - axes[number].share(value) * (bottom - top)
        return f"{NAME_ROOM + gap * number},{height:.1f}"

    for trial in trials:
        row = [_position(dimension, trial.point.get(dimension.name)) for dimension in record.space.dimensions]
        corners = " ".join(to_pixels(n, value) for n, value in enumerate([*row, values[trial.number]]))
        style = "ink winner" if trial is record.winner else colors[trial.number]
        title = escape(record.describe_trial(trial))
        parts.append(f'<polyline class="{style}" points="{corners}"><title>{title}</title></polyline>')
    for number, axis in enumerate(axes):
        x = NAME_ROOM + gap * number
        parts.append(f'<line class="ink" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>')
        parts.append(draw_text(x, TOP + LABEL_HEIGHT * (number % 2), axis.label, "middle", 2 * NAME_ROOM))
        for tick, text in axis.ticks:
            parts.append(draw_text(x + 5, float(to_pixels(number, tick).partition(",")[2]) + 4, text, max_width=gap - 12))
    if has_gaps:
        y = bottom + NOT_SET
        parts.append(f'<line class="grid" x1="{NAME_ROOM}" x2="{width - NAME_ROOM}" y1="{y}" y2="{y}"/>')
        parts.append(draw_text(NAME_ROOM - 6, y + 4, "not set", "end"))
    return "".join([*parts, "</svg>"])
