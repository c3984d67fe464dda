"""The page of compared strategies: `strategies.html`, which opens offline, `strategies.json`, and `strategies.svg`."""

from collections.abc import Sequence
from html import escape
from math import isfinite
from pathlib import Path

from lmcraft.audits.strategies.results import Figure, StrategyComparison
from lmcraft.folder import write_json, write_text
from lmcraft.reports.axis import Axis
from lmcraft.reports.chart import COLORS, Series, draw_chart
from lmcraft.reports.table import html_table
from lmcraft.reports.template import STYLE, fill_page
from lmcraft.statistics.intervals import Metric

CHART_HEIGHT = 460
JOULES_PER_WATT_HOUR = 3600
MARGIN = 0.03  # of the range of perplexities, left and right of the dots

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The headings and the rows."""


def write_strategies(folder: Path, comparison: StrategyComparison) -> Path:
    """Write `strategies.json`, `strategies.svg` and `strategies.html`; returns the page."""
    write_json(folder / "strategies.json", comparison.to_json())
    chart = harm_chart(comparison)
    write_text(folder / "strategies.svg", as_file(chart))
    missing = f" Not measured yet: {'; '.join(comparison.missing)}." if comparison.missing else ""
    page = fill_page(
        "strategies.html",
        escape(comparison.name),
        summary=escape(comparison.verdict() + missing),
        chart=chart,
        figures=html_table(*strategy_table(comparison)),
        ratios=html_table(*ratio_table(comparison)),
        attacks=attack_chart(comparison),
        attacked=html_table(*attack_table(comparison)),
        costs=html_table(*cost_table(comparison)),
        notes="".join(f"<p>{escape(note)}</p>" for note in comparison.notes),
    )
    path = folder / "strategies.html"
    write_text(path, page)
    return path


def as_file(chart: str) -> str:
    """A chart as a file of its own, with the styles of a page."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg"{chart.removeprefix("<svg").partition(">")[0]}><style>{STYLE} '
    frame = "svg { background: var(--paper); color: var(--ink); font-family: system-ui, sans-serif; }</style>"
    return head + frame + chart.partition(">")[2]


def harm_chart(comparison: StrategyComparison) -> str:
    """The probability of toxicity by perplexity, with intervals."""
    series, ends = [], []
    for number, strategy in enumerate(comparison.strategies):
        perplexity, harm = strategy.figures["perplexity"], strategy.figures["probability"]
        across, up = _ends(perplexity.over_seeds), _ends(harm.over_items)
        ends += [*across, perplexity.value]
        series.append(
            Series(
                "",
                _color(number),
                [(perplexity.value, harm.value)],
                dots=True,
                intervals=[up] if up else [],
                x_intervals=[across] if across else [],
                titles=[f"{strategy.name}: {_cell(harm)}, perplexity {_cell(perplexity, 2)}"],
                labels=[strategy.name],
            )
        )
    margin = MARGIN * (max(ends) - min(ends) or 1.0)
    x = Axis.of_numbers("perplexity of clean text", [min(ends) - margin, max(ends) + margin])
    return draw_chart(series, x, Axis.of_numbers("probability of toxicity", [0.0, 1.0]), height=CHART_HEIGHT)


def attack_chart(comparison: StrategyComparison) -> str:
    """The probability of toxicity of each strategy before and after each attack."""
    names = [strategy.name for strategy in comparison.strategies]
    series = []
    keys = ["probability", *(f"probability_after_{attack}" for attack in _attacks(comparison))]
    for number, key in enumerate(keys):
        shift = 0.2 * (number - (len(keys) - 1) / 2)
        figures = [(n + shift, strategy.figures[key]) for n, strategy in enumerate(comparison.strategies)]
        series.append(
            Series(
                key.removeprefix("probability_").replace("_", " ").replace("probability", "as trained"),
                COLORS[number],
                [(x, figure.value) for x, figure in figures],
                dots=True,
                intervals=[_ends(figure.over_items) or (figure.value, figure.value) for _, figure in figures],
            )
        )
    axes = Axis.of_names("strategy", names), Axis.of_numbers("probability of toxicity", [0.0, 1.0])
    return draw_chart(series, *axes)


def strategy_table(comparison: StrategyComparison) -> Table:
    """Harm and perplexity of each strategy."""
    head = ["strategy", "seeds", "toxicity probability", "expected maximum", "toxic continuations", "perplexity"]
    rows = [
        [
            strategy.name,
            str(len(strategy.seeds)),
            _cell(strategy.figures["probability"]),
            _cell(strategy.figures["expected_maximum"]),
            _cell(strategy.figures["toxic_share"]),
            _cell(strategy.figures["perplexity"], 2),
        ]
        for strategy in comparison.strategies
    ]
    return head, rows


def ratio_table(comparison: StrategyComparison) -> Table:
    """The ratios to the first strategy."""
    first, *others = comparison.strategies
    head = ["strategy", f"toxicity / {first.name}", "over seeds", f"perplexity / {first.name}", "over seeds", "pays"]
    rows = [
        [
            strategy.name,
            _cell(strategy.ratios["probability"]),
            _metric(strategy.ratios["probability"].over_seeds),
            _cell(strategy.ratios["perplexity"], 4),
            _metric(strategy.ratios["perplexity"].over_seeds, 4),
            "yes" if strategy.pays else "no",
        ]
        for strategy in others
    ]
    return head, rows


def attack_table(comparison: StrategyComparison) -> Table:
    """Harm and perplexity after each attack."""
    attacks = _attacks(comparison)
    columns = {"probability": "", "toxic_share": "toxic continuations ", "perplexity": "perplexity "}
    head = ["strategy", "as trained"]
    head += [f"{name}after {attack} tuning" for name in columns.values() for attack in attacks]
    rows = [
        [
            strategy.name,
            _cell(strategy.figures["probability"]),
            *(
                _cell(strategy.figures[f"{key}_after_{attack}"], 2 if key == "perplexity" else 3)
                for key in columns
                for attack in attacks
            ),
        ]
        for strategy in comparison.strategies
    ]
    return head, rows


def cost_table(comparison: StrategyComparison) -> Table:
    """Over-refusal, processor time and energy of each strategy."""
    head = ["strategy", "harmless questions refused", "continuations replaced", "processor seconds", "energy (Wh)"]
    rows = [
        [
            strategy.name,
            _cell(strategy.figures["over_refusal"]),
            f"{strategy.figures['replaced'].value:.3f}",
            _metric(strategy.figures["processor_seconds"].over_seeds, 1),
            f"{strategy.figures['joules'].value / JOULES_PER_WATT_HOUR:.3f}",
        ]
        for strategy in comparison.strategies
    ]
    return head, rows


def _attacks(comparison: StrategyComparison) -> list[str]:
    prefix = "probability_after_"
    return [key.removeprefix(prefix) for key in comparison.strategies[0].figures if key.startswith(prefix)]


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]


def _ends(metric: Metric | None) -> tuple[float, float] | tuple[()]:
    return () if metric is None or metric.low is None or metric.high is None else (metric.low, metric.high)


def _cell(figure: Figure, digits: int = 3) -> str:
    """The number with its interval over items, or else over seeds."""
    return _metric(figure.over_items or figure.over_seeds, digits)


def _metric(metric: Metric, digits: int = 3) -> str:
    if not isfinite(metric.value):
        return "no finite value"
    ends = _ends(metric)
    value = f"{metric.value:.{digits}f}"
    return f"{value} ({ends[0]:.{digits}f} to {ends[1]:.{digits}f})" if ends else value
