"""Optuna as a sampler: an in-memory study of the trials is built for each suggestion, and an export for its dashboard."""

import sqlite3
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from math import isfinite, nan
from pathlib import Path
from statistics import median
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lmcraft.errors import UserError
from lmcraft.hyperparameters.space import Dimension, Space
from lmcraft.hyperparameters.trial import Kind, Point, Signs, State, Trial, Value

STUDY = "lmcraft search"
"""Name of the study in an export."""
OPTUNA_SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(n_startup_trials=1, multivariate=True, group=True, seed=seed),
    "gp": lambda seed: GPSampler(n_startup_trials=1, seed=seed, warn_independent_sampling=False),
}


def minimized_values(trials: Sequence[Trial], signs: Signs) -> dict[int, list[float]]:
    """What is known of each trial's objectives, as numbers to minimize, by the number of the trial.

    With one objective, a paused trial counts with its value at the end of the run, as far as it can be told: see
    `_estimated_ends`. A trial that failed is as bad as the worst of the others, so that a sampler leaves its region.
    """
    searched = [trial for trial in trials if trial.kind is Kind.TRIAL]
    values: dict[int, list[float]] = {}
    for trial in searched:
        numbers = [sign * float(trial.values[name]) for name, sign in signs.items() if name in trial.values]
        if len(numbers) == len(signs) and all(map(isfinite, numbers)):
            values[trial.number] = numbers
    if len(signs) == 1:
        values |= {number: [end] for number, end in _estimated_ends(searched, *signs.items()).items()}
    if values:
        worst = _worst(values.values())
        for trial in searched:
            if trial.state.is_final:
                values.setdefault(trial.number, worst)
    return values


def _estimated_ends(trials: Sequence[Trial], objective: tuple[str, int]) -> dict[int, float]:
    """The value of each trial at the end of the run, as a number to minimize, by the number of the trial.

    A paused trial has a higher loss than at its end, and would seem worse than a bad one that is complete. So it gets the
    median gain of the trials that went on from the same step.
    """
    name, sign = objective
    curves: dict[int, dict[int, float]] = {}
    for trial in trials:
        curve = {p.step: sign * float(p.values[name]) for p in trial.curve if isfinite(p.values.get(name, nan))}
        end = sign * float(trial.values.get(name, nan))
        if isfinite(end):
            curve[max(trial.step, *curve, 0)] = end
        if curve:
            curves[trial.number] = curve
    ends: dict[int, float] = {}
    for number in sorted(curves, key=lambda number: -max(curves[number])):  # from the longest on
        step = max(curves[number])
        gains = [ends[other] - curves[other][step] for other in ends if step in curves[other] and max(curves[other]) > step]
        ends[number] = curves[number][step] + (median(gains) if gains else 0.0)
    return ends


def _worst(values: Iterable[Sequence[float]]) -> list[float]:
    """The worst value of each objective."""
    return [max(column) for column in zip(*values, strict=True)]


def suggest_point(
    sampler: str,
    space: Space,
    trials: Sequence[Trial],
    signs: Signs,
    seed: int,
    *,
    fixed: Point,
    excluded: Sequence[Point] = (),
) -> Point:
    """The next point of a sampler of Optuna, given all trials; those without values count as running.

    Args:
        sampler: of `OPTUNA_SAMPLERS`.
        space: what varies.
        trials: all so far.
        signs: of the objectives.
        seed: of the sampler.
        fixed: values that the point gets.
        excluded: points that the constraints do not allow; they count as bad ones.
    """
    values = minimized_values(trials, signs)
    worst = _worst(values.values()) if values else None
    with _quiet_optuna():
        study = optuna.create_study(
            directions=[StudyDirection.MINIMIZE] * len(signs), sampler=OPTUNA_SAMPLERS[sampler](seed)
        )
        for trial in trials:
            if trial.kind is Kind.TRIAL:
                study.add_trial(_sampler_trial(trial.point, space, values.get(trial.number)))
        for point in excluded:
            study.add_trial(_sampler_trial(point, space, worst))
        pending = study.ask()

        def choose(dimension: Dimension) -> Value:
            return _decode(dimension, _ask(pending, dimension.name, _sampler_distribution(dimension)))

        return space.build(choose, fixed)


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Without the messages of Optuna, among others that a sampler is experimental."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _sampler_distribution(dimension: Dimension) -> BaseDistribution:
    """The dimension for a sampler: numbers with gaps are numbered, so that their order counts and each is hit."""
    if _is_numbered(dimension):
        return IntDistribution(0, (dimension.count or 0) - 1)
    return export_distribution(dimension)


def _is_numbered(dimension: Dimension) -> bool:
    if dimension.kind == "int":
        return dimension.step not in (None, 1)
    return dimension.is_ordered and dimension.count is not None


def _ask(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
        case IntDistribution(low=low, high=high, log=log):
            return trial.suggest_int(name, low, high, log=log)
        case FloatDistribution(low=low, high=high, log=log):
            return trial.suggest_float(name, low, high, log=log)
    raise AssertionError(distribution)


def _encode(dimension: Dimension, value: Value) -> Value:
    return dimension.index_of(value) if _is_numbered(dimension) else value


def _decode(dimension: Dimension, value: Any) -> Value:
    decoded: Value = dimension.value_at(value) if _is_numbered(dimension) else value
    return decoded


def _sampler_trial(point: Point, space: Space, values: Sequence[float] | None) -> FrozenTrial:
    varied = [dimension for dimension in space.dimensions if dimension.name in point]
    return optuna.trial.create_trial(
        state=TrialState.RUNNING if values is None else TrialState.COMPLETE,
        values=values,
        params={dimension.name: _encode(dimension, point[dimension.name]) for dimension in varied},
        distributions={dimension.name: _sampler_distribution(dimension) for dimension in varied},
    )


def export_distribution(dimension: Dimension) -> BaseDistribution:
    """The dimension as a user of Optuna writes it."""
    if dimension.kind == "categorical":
        return CategoricalDistribution(dimension.choices)
    if dimension.kind == "int":
        return IntDistribution(int(dimension.low), int(dimension.high), dimension.log, int(dimension.step or 1))
    return FloatDistribution(dimension.low, dimension.high, dimension.log, dimension.step)


_EXPORT_STATES = {
    State.WAITING: TrialState.WAITING,
    State.RUNNING: TrialState.RUNNING,
    State.PAUSED: TrialState.PRUNED,
    State.COMPLETE: TrialState.COMPLETE,
    State.FAILED: TrialState.FAIL,
    State.INFEASIBLE: TrialState.FAIL,
}


def export_optuna(trials: Sequence[Trial], space: Space, signs: Signs, path: Path) -> None:
    """Write the trials as a study that `optuna-dashboard sqlite:///PATH` shows, in place of an earlier export.

    Raises:
        UserError: the path holds something else.
    """
    if path.exists() and not _is_export(path):
        raise UserError(f"export_optuna='{path}' exists, and is no earlier export of a search: choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with _quiet_optuna():
        # Not a URL with the path, in which a question mark has another meaning.
        connect = {"creator": lambda: sqlite3.connect(partial, check_same_thread=False)}
        storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs=connect)
        directions = [StudyDirection.MINIMIZE if sign > 0 else StudyDirection.MAXIMIZE for sign in signs.values()]
        study = optuna.create_study(study_name=STUDY, storage=storage, directions=directions)
        study.set_metric_names(list(signs))
        for trial in trials:
            if trial.kind is Kind.TRIAL:
                study.add_trial(_export_trial(trial, space, signs))
        storage.engine.dispose()
    partial.replace(path)


def _is_export(path: Path) -> bool:
    """Whether a file is a database that holds only a study of ours, or empty."""
    if not path.is_file() or not path.stat().st_size:
        return path.is_file()
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        try:
            return database.execute("SELECT study_name FROM studies").fetchall() == [(STUDY,)]
        except sqlite3.DatabaseError:
            return False


def _export_trial(trial: Trial, space: Space, signs: Signs) -> FrozenTrial:
    varied = [dimension for dimension in space.dimensions if dimension.name in trial.point]
    state, first = _EXPORT_STATES[trial.state], next(iter(signs))
    values = [value for name in signs if isfinite(value := trial.values.get(name, nan))]
    if state is TrialState.COMPLETE and len(values) < len(signs):
        state = TrialState.FAIL
    curve = {point.step: point.values[first] for point in trial.curve if isfinite(point.values.get(first, nan))}
    if state is TrialState.PRUNED and len(signs) == 1 and curve:
        values = [curve[max(curve)]]  # as Optuna itself does; its dashboard leaves out pruned trials without a value
    details = {
        "number": trial.number, "seed": trial.seed, "step": trial.step, "tokens": trial.tokens,
        "seconds": trial.seconds, "energy_kwh": trial.energy_kwh, "holdout": dict(trial.holdout),
        "error": trial.error, "change": trial.change,
    }  # fmt: skip
    frozen = optuna.trial.create_trial(
        state=state,
        values=values if state in (TrialState.COMPLETE, TrialState.PRUNED) and len(values) == len(signs) else None,
        params=dict(trial.point),
        distributions={dimension.name: export_distribution(dimension) for dimension in varied},
        intermediate_values=curve,
        user_attrs={name: value for name, value in details.items() if value not in ("", {})},
    )
    if frozen.datetime_start and trial.created:
        frozen.datetime_start = datetime.fromtimestamp(trial.created)
    if frozen.datetime_complete and trial.finished:
        frozen.datetime_complete = datetime.fromtimestamp(trial.finished)
    return frozen
