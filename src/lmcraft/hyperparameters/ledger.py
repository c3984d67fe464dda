"""The ledger of a search: trials.tsv, a line for each trial that a person can read and a program, too."""

from collections.abc import Mapping, Sequence
from math import isfinite, nan
from pathlib import Path

from lmcraft.folder import write_text
from lmcraft.hyperparameters.trial import Kind, Point, Signs, State, Trial

LEDGER = "trials.tsv"
COLUMNS = ("trial", "change", "settings", "result", "status", "seconds")
KEPT, DISCARDED = "kept", "discarded"


def write_ledger(folder: Path, trials: Sequence[Trial], signs: Signs, default: Point | None) -> None:
    """Write the ledger of a search in its folder, in place of the one before.

    Args:
        folder: OUT of the search.
        trials: all of them.
        signs: of the objectives.
        default: the point of the defaults, if there is one.
    """
    rows = [COLUMNS, *ledger_rows(trials, signs, default)]
    write_text(folder / LEDGER, "".join("\t".join(map(_cell, row)) + "\n" for row in rows))


def ledger_rows(trials: Sequence[Trial], signs: Signs, default: Point | None) -> list[tuple[str, ...]]:
    """The trials by number, with the columns `COLUMNS`."""
    statuses = trial_statuses(trials, signs)
    return [
        (
            str(trial.number),
            f"confirms trial {trial.source}" if trial.kind is Kind.CONFIRMATION else trial.change,
            describe_point(trial.point, default),
            _describe_result(trial, signs),
            statuses[trial.number],
            f"{trial.seconds:.1f}",
        )
        for trial in trials
    ]


def describe_trial(trial: Trial, trials: Sequence[Trial], signs: Signs) -> str:
    """The result of a trial and whether it is kept, in a line."""
    return f"trial {trial.number}: {_describe_result(trial, signs)}, {trial_statuses(trials, signs)[trial.number]}"


def describe_point(point: Point, default: Point | None) -> str:
    """The settings of a point that are not at their defaults."""
    changed = [f"{name}={_format(value)}" for name, value in point.items() if (default or {}).get(name) != value]
    return " ".join(changed) or "the defaults"


def _describe_result(trial: Trial, signs: Signs) -> str:
    if trial.error:
        return trial.error
    values = [(name, trial.values[name]) for name in signs if name in trial.values]
    if len(signs) == 1:
        return " ".join(f"{value:.6g}" for _, value in values)
    return " ".join(f"{name}={value:.6g}" for name, value in values)


def trial_statuses(trials: Sequence[Trial], signs: Signs) -> dict[int, str]:
    """The status of each trial by its number: kept, if none that finished before is as good, discarded, or its state."""
    statuses = {trial.number: trial.state.value for trial in trials}
    best: list[Mapping[str, float]] = []
    for trial in sorted(trials, key=lambda trial: (trial.finished, trial.number)):
        if trial.kind is not Kind.TRIAL or trial.state is not State.COMPLETE:
            continue
        if not all(isfinite(trial.values.get(name, nan)) for name in signs):
            continue
        is_better = not any(_is_as_good(other, trial.values, signs) for other in best)
        statuses[trial.number] = KEPT if is_better else DISCARDED
        if is_better:
            best.append(trial.values)
    return statuses


def _is_as_good(first: Mapping[str, float], second: Mapping[str, float], signs: Signs) -> bool:
    """Whether the first is at least as good in every objective."""
    return all(sign * first[name] <= sign * second[name] for name, sign in signs.items())


def _format(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    """A text without the characters that separate cells and lines."""
    return " ".join(text.split())
