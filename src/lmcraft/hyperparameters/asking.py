"""Trials that a person or another program trains: ask for the next one, and tell its result.

An asked trial is a row of the table like those of the workers, whose lease never ends: it waits for its result as long as it
takes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lmcraft.errors import UserError
from lmcraft.folder import write_text
from lmcraft.hyperparameters.running import read_result, stage_file
from lmcraft.hyperparameters.samplers import Sampler
from lmcraft.hyperparameters.scheduling import Decision, Done, NewTrial, Wait
from lmcraft.hyperparameters.stages import Pipeline
from lmcraft.hyperparameters.store import TrialStore
from lmcraft.hyperparameters.trial import Kind, Point, State, Totals, Trial, TrialResult, trial_folder
from lmcraft.json_lines import format_json

ASKED = "asked"
"""The worker of an asked trial."""


@dataclass(frozen=True)
class AskedTrial:
    """A trial to train."""

    number: int
    settings: Point
    files: Mapping[str, Path]
    """The settings of each of its commands, by the name of its table."""
    command: str
    """The command line that trains it."""

    def to_json(self) -> str:
        """As one line of JSON."""
        config = {name: str(file) for name, file in self.files.items()}
        return format_json(
            {"trial": self.number, "settings": dict(self.settings), "config": config, "command": self.command}
        )


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Where trials are asked for, and their results told."""

    store: TrialStore
    pipeline: Pipeline
    sampler: Sampler
    trials: int
    """Number of trials of the search in all."""
    seed: int
    default: Point | None
    """The point of the first trial, if it is not the sampler's."""
    command_names: Mapping[str, str]
    """The name on the command line of each command."""

    def ask(self, fixed: Point, change: str) -> AskedTrial:
        """The next trial; `fixed` are the settings to try, and `change` says in words what is tried.

        Raises:
            UserError: all trials are started, or there is no new point with these settings.
        """

        def decide(trials: Sequence[Trial], totals: Totals) -> Decision:
            searched = [trial for trial in trials if trial.kind is Kind.TRIAL]
            if len(searched) >= self.trials:
                return Done(f"trials={self.trials} are all started: raise --trials")
            is_default = self.default is not None and not searched and not fixed
            point = self.default if is_default else self.sampler.suggest(searched, len(trials), fixed)
            if point is None:
                settings = ", ".join(f"{name}={value}" for name, value in fixed.items())
                return Done(f"no point with {settings} is left to try: change --set" if fixed else "all points are tried")
            return NewTrial(point=point, seed=self.seed)

        work = self.store.lease(ASKED, decide, seconds=math.inf, change=change)
        if not isinstance(work, Trial):
            assert not isinstance(work, Wait)
            raise UserError(work.reason)
        return self._write_files(work)

    def _write_files(self, trial: Trial) -> AskedTrial:
        folder = trial_folder(self.pipeline.folder, trial.number)
        folder.mkdir(parents=True, exist_ok=True)
        files, commands = dict[str, Path](), list[str]()
        for stage in self.pipeline.stages(trial.point, trial.seed, folder):
            files[stage.name] = stage_file(folder, stage)
            write_text(files[stage.name], stage.config.to_toml())
            if not (stage.is_shared and stage.out.exists()):
                commands.append(f"lmcraft {self.command_names[stage.name]} {files[stage.name]}")
        return AskedTrial(trial.number, trial.point, files, " && ".join(commands))

    def tell(self, number: int, values: Sequence[float] = (), failed: str = "") -> Trial:
        """Record the result of an asked trial: `values` of the objectives, or why it failed, or else the record of its run.

        Raises:
            UserError: there is no such trial that waits for a result, the number of values is another, or its record is
                not complete.
        """
        trial = self._find(number)
        if failed:
            self.store.finish(trial, State.FAILED, error=failed)
        else:
            result = self._result(values, trial) if values else read_result(self.pipeline, trial, self._folder(trial))
            self.store.finish(trial, State.COMPLETE, result)
        return self.store.trials()[number]

    def _folder(self, trial: Trial) -> Path:
        return trial_folder(self.pipeline.folder, trial.number)

    def _find(self, number: int) -> Trial:
        trials = self.store.trials()
        waiting = [trial.number for trial in trials if trial.state is State.RUNNING and trial.worker == ASKED]
        if number in waiting:
            return trials[number]
        state = f"is {trials[number].state}" if 0 <= number < len(trials) else "does not exist"
        hint = f"those that wait for a result are {', '.join(map(str, waiting))}" if waiting else "ask for one with --ask"
        raise UserError(f"tell={number}: trial {number} {state}; {hint}")

    def _result(self, values: Sequence[float], trial: Trial) -> TrialResult:
        names = [objective.name for objective in self.pipeline.objectives]
        if len(values) != len(names):
            raise UserError(
                f"values has {len(values)} numbers, but the objectives are {', '.join(names)}: give {len(names)}"
            )
        if infinite := next((value for value in values if not math.isfinite(value)), None):
            raise UserError(f"values={infinite} is not a finite number: use --failed for a trial without a result")
        seconds = max(0.0, self.store.now() - trial.created)
        return TrialResult(values=dict(zip(names, map(float, values), strict=True)), seconds=seconds)
