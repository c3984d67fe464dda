"""A search in its folder: begun or continued, and worked on by processes of this machine."""

import importlib
import json
import math
import shlex
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from lmcraft.config import as_dict, read_toml
from lmcraft.energy.record import ENERGY_FILE
from lmcraft.energy.recording import EnergyRecording, recording_energy
from lmcraft.errors import InterruptedRunError, RunError, UserError
from lmcraft.folder import write_text
from lmcraft.folder.output import claim_folder
from lmcraft.hyperparameters.asking import ask, tell
from lmcraft.hyperparameters.config import (
    OF_ONE_CALL,
    SEARCH_FILE,
    SEARCH_TABLE,
    SearchConfig,
    format_space,
    with_present_names,
)
from lmcraft.hyperparameters.confirmation import Verdict, judge
from lmcraft.hyperparameters.crew import Crew
from lmcraft.hyperparameters.energy import KIND
from lmcraft.hyperparameters.holder import is_here
from lmcraft.hyperparameters.ledger import write_ledger
from lmcraft.hyperparameters.plan import Plan
from lmcraft.hyperparameters.progress import SearchDisplay
from lmcraft.hyperparameters.running import train
from lmcraft.hyperparameters.scheduling import Decision, Done, refused_everywhere
from lmcraft.hyperparameters.stages import StageCommand
from lmcraft.hyperparameters.store import LEASE_SECONDS, StoreError, TrialStore
from lmcraft.hyperparameters.tables import remove_password, sqlite_url
from lmcraft.hyperparameters.trial import AskedTrial, Kind, Point, State, Totals, Trial, TrialResult, trial_folder
from lmcraft.hyperparameters.worker import LOG, Job, Report
from lmcraft.setting_values import expand_user

DATABASE = "trials.sqlite"
WATCH_SECONDS = 1.0  # between two looks at the table
RUNS = {"pretrain": "lmcraft.pretraining.run", "finetune": "lmcraft.finetuning.run"}
LOCATION = ("out", "storage")
"""Settings that say where a search is."""
MAY_CHANGE = ("trials", "workers", "confirm", "time_budget", "energy_budget")
"""Settings of a search that its continuation may change; all others decide which trials there are."""


@dataclass(frozen=True)
class PlannedWork:
    """The work of the workers, as the plan of the search has it."""

    plan: Plan

    def warm_up(self) -> None:
        """Import torch and what else takes seconds."""
        for name in self.plan.pipeline.training:
            importlib.import_module(RUNS[name])

    def decide(self, trials: Sequence[Trial], totals: Totals) -> Decision:
        """The next piece of work."""
        return self.plan.scheduler.decide(trials, totals)

    def limit(self, totals: Totals) -> str:
        """Which limit of the search is reached; empty: none."""
        return self.plan.scheduler.used_up(totals)

    def train(self, trial: Trial, folder: Path, report: Report) -> TrialResult:
        """Run the commands of a trial."""
        return train(self.plan.pipeline, trial, folder, report)


@dataclass(frozen=True)
class Search:
    """A search; open it with `Search.open`."""

    plan: Plan
    store: TrialStore
    storage: str
    """URL of the database."""

    @classmethod
    def open(cls, config: SearchConfig, commands: Mapping[str, StageCommand]) -> "Search":
        """Begin a search, or open the one that the settings continue.

        Args:
            config: as it was given.
            commands: those that a trial can run, by the names of their tables.

        Raises:
            UserError: the search cannot work, its folder holds something else, or it is not the one to continue.
        """
        folder = config.out
        storage = config.storage or sqlite_url(folder.absolute() / DATABASE)
        continues = config.resume or config.tell is not None or config.export_optuna is not None
        continues = continues or (config.ask and _is_search(folder))
        if not continues:
            return cls._begin(config, commands, storage)
        if not config.storage and not (folder / DATABASE).is_file():
            raise UserError(f"out='{folder}' holds no search: leave out --resume to begin one, or name its --storage")
        store = TrialStore.open(storage, folder.name)
        recorded = store.settings()
        if recorded is None:
            raise UserError(f"there is no search '{folder.name}' in the storage: leave out --resume to begin it")
        return cls._continue(config, commands, storage, store, recorded)

    @classmethod
    def _begin(cls, config: SearchConfig, commands: Mapping[str, StageCommand], storage: str) -> "Search":
        if config.space is None:
            raise UserError("there is no space to search: name its file, such as `lmcraft search SPACE.toml`")
        plan = Plan.build(config, read_toml(config.space), commands)
        with claim_folder(config.out, lambda: _check_new(config.out)):
            plan.check()
            search = cls(plan, TrialStore.open(storage, config.out.name), storage)
            record = search._record()
            inputs = sorted(set(_named_paths(record["tables"])))
            search.store.create({**record, "folder": str(Path.cwd()), "inputs": inputs})
            search._write_file()
        return search

    @classmethod
    def _continue(
        cls,
        config: SearchConfig,
        commands: Mapping[str, StageCommand],
        storage: str,
        store: TrialStore,
        recorded: dict[str, Any],
    ) -> "Search":
        recorded = recorded | {SEARCH_TABLE: with_present_names(recorded[SEARCH_TABLE])}
        if config.space is None:  # on another machine, whose folder has no file of the search
            earlier = SearchConfig.from_table(recorded[SEARCH_TABLE], f"the search '{config.out.name}'")
            config = replace(earlier, **_changed_settings(config))
        tables = recorded["tables"] if config.space is None else read_toml(config.space)
        plan = Plan.build(config, tables, commands)
        search = cls(plan, store, storage)
        record = {**recorded, **search._record()}
        _refuse_changes(record, recorded, config.out)
        _check_inputs(recorded)
        if record != recorded:
            store.change_settings(record)
        config.out.mkdir(parents=True, exist_ok=True)
        search._write_file()
        return search

    def _record(self) -> dict[str, Any]:
        """The settings of the search, as the store keeps them."""
        values = as_dict(self.plan.config)
        settings = {name: value for name, value in values.items() if name not in (*OF_ONE_CALL, *LOCATION)}
        tables = {name: table for name, table in self.plan.tables.items() if name != SEARCH_TABLE}
        record: dict[str, Any] = json.loads(json.dumps({SEARCH_TABLE: settings, "tables": tables}, default=str))
        return record

    def _write_file(self) -> None:
        """Write the space with the settings of the search, in a form that `--resume` reads, without a password."""
        config = replace(self.plan.config, storage=remove_password(self.plan.config.storage))
        text = format_space(config, self.plan.tables)
        file = self.plan.config.out / SEARCH_FILE
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            write_text(file, text)

    def run(self) -> str:
        """Work until the search is over, on as many processes as the settings have.

        Returns:
            Why it is over, if a limit ended it.

        Raises:
            UserError: the commands refused the first trials: the message has the reason.
            InterruptedRunError: a signal came; the running trials are saved.
            RunError: all trials failed, or the workers cannot go on, such as on a full disk.
        """
        config = self.plan.config
        self._check_machine()
        decision = self.plan.scheduler.decide(self.store.trials(), self.store.totals())
        if isinstance(decision, Done):  # nothing is left to do
            reason = decision.reason
        else:
            work, is_memory_counted = PlannedWork(self.plan), "peak_memory" in self.plan.signs
            job = Job(self.storage, self.store.name, config.out, work, fresh_processes=is_memory_counted)
            with (
                recording_energy(config.out / ENERGY_FILE, KIND) as energy,
                SearchDisplay(config.trials, self.plan.signs, self.store.trials()) as display,
                self._naming_continuation(),
            ):
                reason = Crew(job, config.workers).run(_Watch(self, display, energy))
        trials = [trial for trial in self.store.trials() if trial.kind is Kind.TRIAL]
        if refusal := refused_everywhere(trials):
            failed = next(trial for trial in trials if trial.error)
            raise UserError(f"{refusal} (see {trial_folder(config.out, failed.number) / LOG})")
        if trials and all(trial.state in (State.FAILED, State.INFEASIBLE) for trial in trials):
            log = trial_folder(config.out, trials[0].number) / LOG
            raise RunError(f"all {len(trials)} trials failed, the first one with: {trials[0].error} (see {log})")
        return reason

    def verdict(self) -> Verdict | None:
        """Whether the winner is better than the others; None if no trial is complete."""
        name, sign = next(iter(self.plan.signs.items()))
        return judge(self.store.trials(), name, sign, self.plan.default)

    def ask(self, settings: Point | Sequence[str] = (), change: str = "") -> AskedTrial:
        """The next trial, for a person or a program that trains it; arguments and errors as in `asking.ask`."""
        next_trial = ask(self.plan, self.store, settings, change)
        self.write_ledger(self.store.trials())
        return next_trial

    def tell(self, number: int, values: Sequence[float] = (), failed: str = "") -> Trial:
        """Record the result of an asked trial; arguments and errors as in `asking.tell`."""
        trial = tell(self.plan, self.store, number, values, failed)
        self.write_ledger(self.store.trials())
        return trial

    def write_ledger(self, trials: Sequence[Trial]) -> None:
        """Write trials.tsv."""
        write_ledger(self.plan.config.out, trials, self.plan.signs, self.plan.default)

    def _check_machine(self) -> None:
        """Raise UserError if workers of another machine use the same SQLite file, whose locks do not reach so far."""
        if not self.storage.startswith("sqlite"):
            return
        now = self.store.now()
        for trial in self.store.trials():
            is_held = trial.worker != "" and now < trial.lease_expires < math.inf
            if is_held and not is_here(trial.worker):
                host = trial.worker.partition("/")[0]
                raise UserError(
                    f"trial {trial.number} is held by a worker of another machine ('{host}'), and SQLite is for one: stop "
                    f"it and wait {LEASE_SECONDS:.0f} s, or begin a search with --storage"
                )

    @contextmanager
    def _naming_continuation(self) -> Iterator[None]:
        """Add the command that continues the search to the error after a signal."""
        command = f"lmcraft search --out {shlex.quote(str(self.plan.config.out))} --resume"
        try:
            yield
        except KeyboardInterrupt as error:  # the second
            raise InterruptedRunError(f"stopped at once; continue with: {command}", signal.SIGINT) from error
        except InterruptedRunError as error:
            raise InterruptedRunError(f"{error}; continue with: {command}", error.exit_status - 128) from error


class _Watch:
    """Looks at the table now and then: for the terminal, and for the ledger."""

    def __init__(self, search: Search, display: SearchDisplay, energy: EnergyRecording) -> None:
        self._search, self._display, self._energy = search, display, energy
        self._latest, self._progress = float("-inf"), 0

    def __call__(self) -> int:
        """A number that grows with the progress of the trials."""
        if time.monotonic() < self._latest + WATCH_SECONDS:
            return self._progress
        self._latest = time.monotonic()
        with suppress(OSError):  # of a full disk
            self._energy.count(0)
        try:
            trials = self._search.store.trials()
        except StoreError:  # the workers will tell, if it lasts
            return self._progress
        if self._display.update(trials):
            with suppress(OSError):  # of a full disk, on which the workers can still save their trials
                self._search.write_ledger(trials)
        ended = sum(trial.state.is_final or trial.state is State.PAUSED for trial in trials)
        self._progress = ended + sum(trial.step for trial in trials)
        return self._progress


def _is_search(folder: Path) -> bool:
    return (folder / SEARCH_FILE).is_file() or (folder / DATABASE).is_file()


def _check_new(folder: Path) -> None:
    """Raise UserError if a search cannot begin in a folder.

    What a search that was killed at its very beginning has left does no harm.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"out='{folder}' is a file, not a folder: choose another --out")
    if (folder / SEARCH_FILE).exists():
        raise UserError(f"out='{folder}' already holds a search: add --resume to continue it, or choose another --out")
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    if foreign := [name for name in names if not name.startswith((".", DATABASE))]:
        raise UserError(f"out='{folder}' is not empty, and holds no search ({min(foreign)}): choose another --out")


def _named_paths(value: Any) -> Iterator[str]:
    """The texts in the tables of a space that name a file or folder which exists."""
    if isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _named_paths(item)
    elif isinstance(value, str) and value:
        with suppress(OSError, ValueError):  # such as of a long text
            if expand_user(value).exists():
                yield value


def _check_inputs(recorded: Mapping[str, Any]) -> None:
    """Raise UserError if a file or folder is gone that the space names; every trial would fail."""
    present = set(_named_paths(recorded["inputs"]))
    if missing := next((name for name in recorded["inputs"] if name not in present), None):
        folder = recorded["folder"]
        raise UserError(f"'{missing}' does not exist here: restore it, or continue in '{folder}', where the search began")


def _changed_settings(config: SearchConfig) -> dict[str, Any]:
    """The settings that differ from their defaults."""
    return {f.name: value for f in fields(config) if (value := getattr(config, f.name)) != f.default}


def _refuse_changes(record: Mapping[str, Any], recorded: Mapping[str, Any], out: Path) -> None:
    """Raise UserError if a search is continued with settings that would make it another one."""
    remedy = f"continue with `lmcraft search --out {out} --resume`, or begin another search with another --out"
    now, before = record[SEARCH_TABLE], recorded[SEARCH_TABLE]
    for name in sorted(now.keys() | before.keys()):
        if name not in MAY_CHANGE and now.get(name) != before.get(name):
            raise UserError(f"{name}={now.get(name)} differs from {before.get(name)} of the search in '{out}': {remedy}")
    for command in sorted(record["tables"].keys() | recorded["tables"].keys()):
        now, before = (tables["tables"].get(command, {}) for tables in (record, recorded))
        for name in sorted(now.keys() | before.keys()):
            if now.get(name) != before.get(name):
                value, earlier = (json.dumps(values.get(name)) for values in (now, before))
                raise UserError(f"{command}.{name}={value} differs from {earlier} of the search in '{out}': {remedy}")
