"""The page of a search: `search.html`, a single file that opens offline, and the tables of the terminal."""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from lmcraft.folder import write_text
from lmcraft.hyperparameters.confirmation import Verdict
from lmcraft.hyperparameters.importance import Importance
from lmcraft.hyperparameters.ledger import DISCARDED, KEPT, trial_statuses
from lmcraft.hyperparameters.space import describe
from lmcraft.hyperparameters.trial import State, Trial
from lmcraft.reports.chart import Interval, figure, interval_chart
from lmcraft.reports.search_charts import (
    curves_chart,
    history_charts,
    parallel_chart,
    pareto_charts,
    slice_charts,
)
from lmcraft.reports.search_record import (
    COST_COLUMNS,
    STATES,
    SearchRecord,
    costs,
    describe_energy,
    describe_savings,
    describe_waste,
    format_value,
)
from lmcraft.reports.table import html_table
from lmcraft.reports.template import fill_page
from lmcraft.statistics.intervals import Metric
from lmcraft.terminal import column_table, escape_control_characters, format_count, format_duration

if TYPE_CHECKING:
    from rich.console import RenderableType

PAGE_NAME = "search.html"
MAX_OPEN_TRIALS = 30
CURVES = "The values of each trial during training, to the dot where it ended. Blue is better, orange worse, thick the best."
PARALLEL = "A line is a trial: blue is better, orange worse, thick the best trial. Point at a line for its settings."
SLICES = "Blue: complete; gray: stopped early, so that the value is that of a shorter run; filled: the best trial."

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The headings and the rows."""


def write_search(folder: Path, record: SearchRecord) -> Path:
    """Write `search.html`; returns the page."""
    page = fill_page(
        "search.html",
        escape(f"Search {folder.resolve().name}"),
        verdict="".join(f"<p>{escape(sentence)}</p>" for sentence in verdict_sentences(record)),
        counts=escape(count_trials(record)),
        winner=_winner(record),
        history="".join(f"{_subtitle(record, name)}{figure(history_charts(record, name))}" for name in record.signs),
        curves=_section(record, "Learning curves", CURVES, curves_chart),
        pareto=_pareto(record),
        importance="".join(_importance(record, name) for name in record.signs),
        parallel=_section(record, "Parallel coordinates", PARALLEL, parallel_chart),
        slices=_section(record, "Each setting", SLICES, slice_charts),
        cost=_cost(record),
        open=" open" if len(record.trials) <= MAX_OPEN_TRIALS else "",
        trials=html_table(*trial_table(record)),
    )
    path = folder / PAGE_NAME
    write_text(path, escape_control_characters(page))
    return path


def summarize_search(record: SearchRecord) -> Iterator["RenderableType"]:
    """For the terminal: the verdict, the winner, the best trials, which settings matter, and the cost."""
    yield escape_control_characters("\n".join(verdict_sentences(record)))
    if record.winner is not None:
        yield column_table("The winner", *winner_table(record, record.winner))
    if record.verdict is not None and record.verdict.finalists[0].holdout:
        yield column_table("Runs with new seeds", *finalist_table(record.verdict))
    if len(record.signs) > 1 and record.pareto_set:
        yield column_table("Pareto set", *pareto_table(record))
    for name, importance in record.importances.items():
        if importance.settings:
            yield column_table(f"Which settings matter for {name}", *importance_table(record, importance))
        if importance.warning:
            yield importance.warning
    yield column_table("Cost", COST_COLUMNS, [cost.cells() for cost in costs(record)])
    sentences = (count_trials(record), describe_savings(record), describe_energy(record), describe_waste(record))
    yield " ".join(filter(None, sentences))


def verdict_sentences(record: SearchRecord) -> list[str]:
    """What the search has found, the shortest answer first."""
    winner, name = record.winner, record.main_objective
    if winner is None:
        return [_describe_failures(record)]
    value = f"{name} {format_value(winner.values[name])}"
    sentences = [f"Trial {winner.number} is the best, with {value}."]
    if record.verdict is None or not record.verdict.finalists[0].holdout:
        sentences.append(
            "It is not confirmed with new seeds; the best of many noisy values overstates what its settings reach."
        )
    elif len(record.verdict.finalists) > 1:
        other = record.verdict.finalists[1].trial.number
        sentences = (
            [f"A tie: trial {winner.number} has the best {value}, but is not shown to be better than trial {other}."]
            if record.verdict.is_tie
            else [f"Trial {winner.number} wins, with {value}."]
        )
    if record.verdict is not None and record.verdict.finalists[0].holdout:
        sentences += [f"{sentence[:1].upper()}{sentence[1:]}." for sentence in record.verdict.sentences()]
    if len(record.signs) > 1:
        sentences.append(
            f"{len(record.pareto_set)} of {len(record.complete)} complete trials are in the Pareto set: no other is at "
            f"least as good in all of {', '.join(record.signs)} and better in one."
        )
    return sentences


def _describe_failures(record: SearchRecord) -> str:
    failed = [trial for trial in record.searched if trial.state in (State.FAILED, State.INFEASIBLE)]
    if failed and len(failed) == len(record.searched):
        return f"All {len(failed)} trials failed, the first one with: {failed[0].error or 'an unknown error'}"
    return "No trial was trained to the end yet."


def count_trials(record: SearchRecord) -> str:
    """How many trials are in each state."""
    counts = [f"{sum(t.state is state for t in record.searched)} {text}" for state, text in STATES.items()]
    counts = [count for count in counts if not count.startswith("0 ")]
    confirmations = f", and {len(record.confirmations)} runs to confirm them" if record.confirmations else ""
    return f"Trials: {', '.join(counts) or 'none'}{confirmations}."


def winner_table(record: SearchRecord, winner: Trial) -> Table:
    """The settings of the winner against the defaults."""
    rows = [
        [
            record.names[dimension.name],
            format_value(winner.point.get(dimension.name)) or "not set",
            format_value(dimension.default),
            describe(dimension),
        ]
        for dimension in record.space.dimensions
    ]
    return ["setting", f"trial {winner.number}", "default", "tried"], rows


def finalist_table(verdict: Verdict) -> Table:
    """The values of the finalists in the search, and of their runs with new seeds."""
    rows = []
    for finalist in verdict.finalists:
        mean = sum(finalist.validation) / len(finalist.validation) if finalist.validation else None
        rows.append(
            [
                finalist.role,
                str(finalist.trial.number),
                format_value(finalist.trial.values.get(verdict.objective)),
                str(len(finalist.holdout)),
                format_value(mean),
                _format_metric(finalist.mean, 5),
            ]
        )
    data = "on the holdout (95% interval)" if verdict.used_holdout else "mean (95% interval)"
    return ["role", "trial", f"{verdict.objective} in the search", "new seeds", "mean on the same data", data], rows


def pareto_table(record: SearchRecord) -> Table:
    """The trials of the Pareto set, the best by the first objective first."""
    rows = [
        [str(trial.number), *(format_value(trial.values[name]) for name in record.signs), record.describe_point(trial)]
        for trial in record.pareto_set
    ]
    return ["trial", *_directions(record), "settings"], rows


def importance_table(record: SearchRecord, importance: Importance) -> Table:
    """The share of each setting."""
    rows = [[record.names[name], _format_share(share)] for name, share in importance.settings.items()]
    return ["setting", "explains (95% interval)"], [*rows, ["all together", _format_share(importance.explained)]]


def trial_table(record: SearchRecord) -> Table:
    """All trials, with what became of them."""
    statuses = trial_statuses(record.trials, record.signs)
    names = record.names
    rows = []
    for trial in sorted(record.trials, key=lambda trial: trial.number):
        note = f"confirms trial {trial.source}" if trial.source is not None else trial.change
        status = statuses[trial.number]
        rows.append(
            [
                str(trial.number),
                status if status in (KEPT, DISCARDED) else STATES[trial.state],
                f"{trial.step:,}",
                *(format_value(record.latest_value(trial, name)) for name in record.signs),
                *(format_value(trial.point.get(name)) for name in names),
                format_count(trial.tokens),
                format_duration(trial.seconds),
                "; ".join(filter(None, (note, trial.error))),
            ]
        )
    return ["trial", "state", "step", *_directions(record), *names.values(), "tokens", "time", "note"], rows


def _directions(record: SearchRecord) -> list[str]:
    return [name + (" \N{DOWNWARDS ARROW}" if sign > 0 else " \N{UPWARDS ARROW}") for name, sign in record.signs.items()]


def _winner(record: SearchRecord) -> str:
    if record.winner is None:
        return ""
    title = "The winner" if len(record.signs) == 1 else f"The best trial by {record.main_objective}"
    parts = [f"<h2>{escape(title)}</h2>{html_table(*winner_table(record, record.winner))}"]
    verdict = record.verdict
    if verdict is not None and verdict.finalists[0].holdout:
        parts.append(f"<h3>Runs with new seeds</h3>{html_table(*finalist_table(verdict))}")
        gains = [
            Interval(f"over the {gain.role}", gain.difference.value, gain.difference.low, gain.difference.high)
            for gain in verdict.gains
            if isfinite(gain.difference.value)
        ]
        if gains:
            parts.append(interval_chart(gains, x_label=f"gain of the winner in {verdict.objective}; a bar over 0: a tie"))
    return "".join(parts)


def _section(record: SearchRecord, title: str, caption: str, draw: Callable[[SearchRecord, str], str]) -> str:
    """A chart for each objective that has one, under a heading."""
    charts = [f"{_subtitle(record, name)}{figure(chart)}" for name in record.signs if (chart := draw(record, name))]
    return f"<h2>{title}</h2><p>{caption}</p>{''.join(charts)}" if charts else ""


def _subtitle(record: SearchRecord, objective: str) -> str:
    return f"<h3>{escape(objective)}</h3>" if len(record.signs) > 1 else ""


def _pareto(record: SearchRecord) -> str:
    if len(record.signs) == 1 or not record.pareto_set:
        return ""
    return f"<h2>Pareto set</h2>{figure(pareto_charts(record))}{html_table(*pareto_table(record))}"


def _importance(record: SearchRecord, objective: str) -> str:
    importance = record.importances[objective]
    parts = [_subtitle(record, objective)]
    if importance.warning:
        parts.append(f'<p class="warning">{escape(importance.warning)}</p>')
    if importance.settings:
        share = _format_share(importance.explained)
        parts.append(f"<p>All settings together explain {share} of the differences between {importance.trials} trials.</p>")
        bars = [Interval(record.names[name], s.value, s.low, s.high) for name, s in importance.settings.items()]
        parts.append(interval_chart(bars, x_label=f"share of the differences in {objective}"))
    return "".join(parts)


def _cost(record: SearchRecord) -> str:
    texts = (describe_savings(record), describe_energy(record), describe_waste(record))
    sentences = [f"<p>{escape(text)}</p>" for text in texts if text]
    return html_table(COST_COLUMNS, [cost.cells() for cost in costs(record)]) + "".join(sentences)


def _format_share(share: Metric) -> str:
    return f"{share.value:.0%}" + ("" if share.low is None else f" ({share.low:.0%} to {share.high:.0%})")


def _format_metric(metric: Metric, digits: int) -> str:
    if not isfinite(metric.value):
        return ""
    ends = "" if metric.low is None else f" ({metric.low:.{digits}g} to {metric.high:.{digits}g})"
    return f"{metric.value:.{digits}g}{ends}"
