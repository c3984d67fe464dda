"""Trials that a person or another program trains: ask for the next one, and tell its result.

An asked trial is a row of the table like those of the workers, whose lease never ends: it waits for its result as long as it
takes.
"""

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from lmcraft.errors import UserError
from lmcraft.folder import write_text
from lmcraft.hyperparameters.plan import Plan
from lmcraft.hyperparameters.running import read_result, stage_file
from lmcraft.hyperparameters.scheduling import Decision, Done, NewTrial
from lmcraft.hyperparameters.store import TrialStore
from lmcraft.hyperparameters.trial import ASKER, AskedTrial, Kind, Point, State, Totals, Trial, TrialResult, trial_folder


def ask(plan: Plan, store: TrialStore, settings: Point | Sequence[str] = (), change: str = "") -> AskedTrial:
    """The next trial of a search.

    Args:
        plan: of the search.
        store: its trials.
        settings: to try, by name or as texts NAME=VALUE; the sampler chooses the others.
        change: what is tried, in words.

    Raises:
        UserError: all trials are started, a limit is reached, or there is no new point with these settings.
    """
    fixed = plan.pipeline.space.point_from(dict(map(_split, settings) if not isinstance(settings, Mapping) else settings))

    def decide(trials: Sequence[Trial], totals: Totals) -> Decision:
        searched = [trial for trial in trials if trial.kind is Kind.TRIAL]
        if reason := plan.scheduler.used_up(totals):
            return Done(reason)
        if len(searched) >= plan.config.trials:
            return Done(f"trials={plan.config.trials} are all started: raise --trials")
        is_default = plan.default is not None and plan.config.default_first and not searched and not fixed
        point = plan.default if is_default else plan.sampler.suggest(searched, len(trials), fixed)
        if point is None:
            named = ", ".join(f"{name}={value}" for name, value in fixed.items())
            return Done(f"no new point with {named} is left to try: change --set" if fixed else "all points are tried")
        if unused := fixed.keys() - point.keys():
            return Done(f"set={min(unused)} has no effect under the other settings: set what its `when` names, too")
        return NewTrial(point=point, seed=plan.config.seed)

    work = store.lease(ASKER, decide, seconds=math.inf, change=change)
    if isinstance(work, Trial):
        return _write_files(plan, work)
    assert isinstance(work, Done)
    raise UserError(work.reason)


def _split(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise UserError(f"set={text} has no value: write NAME=VALUE, such as pretrain.depth=3")
    return name.strip(), value.strip()


def _write_files(plan: Plan, trial: Trial) -> AskedTrial:
    folder = trial_folder(plan.config.out, trial.number)
    folder.mkdir(parents=True, exist_ok=True)
    files, commands = dict[str, Path](), list[str]()
    for stage in plan.pipeline.stages(trial.point, trial.seed, folder):
        files[stage.name] = stage_file(folder, stage)
        write_text(files[stage.name], stage.config.to_toml())
        if not (stage.is_shared and stage.out.exists()):
            commands.append(f"lmcraft {stage.command.name} {shlex.quote(str(files[stage.name]))}")
    return AskedTrial(trial.number, trial.point, files, " && ".join(commands))


def tell(plan: Plan, store: TrialStore, number: int, values: Sequence[float] = (), failed: str = "") -> Trial:
    """Record the result of an asked trial.

    Args:
        plan: of the search.
        store: its trials.
        number: of the trial.
        values: the objectives, in their order; none: read from the record of its run.
        failed: why it has no result.

    Raises:
        UserError: there is no such trial that waits for a result, the number of values is another, or its record is not
            complete.
    """
    trial = _find(store, number)
    if failed:
        store.finish(trial, State.FAILED, error=failed)
    else:
        folder = trial_folder(plan.config.out, number)
        result = _result(plan, store, trial, values) if values else read_result(plan.pipeline, trial, folder)
        store.finish(trial, State.COMPLETE, result)
    return store.trials()[number]


def _find(store: TrialStore, number: int) -> Trial:
    trials = store.trials()
    waiting = [trial.number for trial in trials if trial.is_asked]
    if number in waiting:
        return trials[number]
    state = f"is {trials[number].state}" if 0 <= number < len(trials) else "does not exist"
    hint = f"those that wait for a result are {', '.join(map(str, waiting))}" if waiting else "ask for one with --ask"
    raise UserError(f"tell={number}: trial {number} {state}; {hint}")


def _result(plan: Plan, store: TrialStore, trial: Trial, values: Sequence[float]) -> TrialResult:
    names = list(plan.signs)
    if len(values) != len(names):
        raise UserError(f"values has {len(values)} numbers, but the objectives are {', '.join(names)}: give {len(names)}")
    if not all(map(math.isfinite, values)):
        raise UserError(
            f"values={', '.join(map(str, values))} are not all finite: use --failed for a trial without a result"
        )
    seconds = max(0.0, store.now() - trial.created)
    return TrialResult(values=dict(zip(names, map(float, values), strict=True)), seconds=seconds)
