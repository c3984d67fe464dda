"""Which settings a resumed run may change, and the record of a run and of its changes.

A resumed command is compared with the settings in the checkpoint. What it leaves automatic is taken from there. Settings
that decide what the next steps compute must be equal; the others may change. `run.toml` holds the settings of the latest
start, and `history.jsonl` a row for each start: its id, the step, the number of processes, and what changed, with earlier
values.
"""

import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from lmcraft.config import as_dict
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, write_json_lines, write_text
from lmcraft.training.checkpoint import Checkpoints
from lmcraft.training.config import TrainConfig
from lmcraft.training.history import read_history, recorded_tasks
from lmcraft.training.processes import Processes
from lmcraft.training.run_log import read_log

C = TypeVar("C", bound=TrainConfig)
T = TypeVar("T")

CONTENTS = ("model", "data", "validation_data", "general", "chat_template", "teacher", "reward")
"""Folders and files that may move, since a run is compared by what is in them (`check_contents`)."""
TOKENS = "tokens"
"""Beside the `CONTENTS` in the record: what the data became when they were encoded."""
BUDGETS = ("time_budget", "energy_budget")
LENGTH = ("max_tokens", *BUDGETS, "epochs")
INTERVALS = ("eval_every", "save_every", "sample_every")
CHOSEN_AT_START = (
    *("batch_size", "micro_batch_size", "sequence_length", "max_steps", "max_tokens", "time_budget", "energy_budget"),
    *("eval_tokens", *INTERVALS, "decay_steps", "attention", "compile", "precision", "device"),
    *("delta", "noise_multiplier", "unit"),
)
"""Settings that stay automatic until the data and the machine are open."""
MAY_CHANGE = frozenset(
    (
        *("out", "resume", "pause_at", "max_steps", *LENGTH, *INTERVALS, *CONTENTS),
        *("device", "precision", "attention", "compile", "micro_batch_size", "activation_checkpointing", "tensor_parallel"),
        *("tensorboard", "sample_prompt", "report_answers", "general_text", "show_batch", "find_lr", "coordinate_check"),
        *("tasks", "evaluate_every", "schedule.decay_steps", "snapshots"),
    )
)
"""Settings that decide how long a run is, and where and how it is computed and reported. All others must stay equal."""


def continue_config(requested: C, folder: ModelFolder, step: int, command: str) -> C:
    """The configuration of a resumed run, resolved: `requested`, with the recorded values of what it leaves automatic.

    Args:
        requested: as it was given, not yet resolved.
        folder: of the run.
        step: of the checkpoint that the run continues from.
        command: the command that continues the run, for the message.

    Raises:
        UserError: a setting that must stay equal differs from the recorded one, or a line of the run's records is damaged.
    """
    for file in (folder.metrics, folder.samples):  # which the run goes on with
        deque(read_log(file), maxlen=0)
    recorded = read_recorded(requested, folder, step)
    owner = f"the run in '{folder.path}'"
    file = Checkpoints(folder).settings(step)
    remedy = f"continue with `lmcraft {command} {file} --resume`, or start a new run with another --out"
    refuse_changes(_given(requested, recorded), recorded, owner, remedy)  # first, since resolving finds contradictions
    lengths = [name for name in LENGTH if not (recorded.dp.epsilon and name in BUDGETS)]  # noise is for a number of steps
    other_length = any(getattr(requested, name, 0) not in (0, getattr(recorded, name, 0)) for name in lengths)
    if other_length and requested.max_steps == recorded.max_steps:  # the steps follow from the length, not from run.toml
        requested = replace(requested, max_steps=0)
    if other_length or requested.max_steps not in (0, recorded.max_steps):
        requested, recorded = (_without_planned_decay(config) for config in (requested, recorded))
    config = _fill(requested, requested.resolved(), recorded, ("max_steps",) if other_length else ())
    refuse_changes(config, recorded, owner, remedy, preferred=requested)
    return config.resolved()


def _without_planned_decay(config: C) -> C:
    """The settings with the decay that its share gives."""
    return replace(config, schedule=replace(config.schedule, decay_steps=0))


def _fill(requested: T, resolved: T, recorded: T, except_names: Collection[str]) -> T:
    """`requested` with the recorded value of each automatic setting: one that resolving fills in, or the start of a run."""
    values = {}
    for field in fields(requested):  # type: ignore[arg-type]
        name = field.name
        value, filled, earlier = (getattr(config, name) for config in (requested, resolved, recorded))
        if is_dataclass(value) and type(value) is type(earlier):
            values[name] = _fill(value, filled, earlier, except_names)
        elif name not in except_names and (value != filled or (name in CHOSEN_AT_START and value in (0, "auto"))):
            values[name] = earlier
    return replace(requested, **values)  # type: ignore[type-var]


def _given(requested: T, recorded: T) -> T:
    """`requested` with the recorded value of each setting that may be automatic."""
    values = {}
    for field in fields(requested):  # type: ignore[arg-type]
        value, earlier = getattr(requested, field.name), getattr(recorded, field.name)
        if is_dataclass(value) and type(value) is type(earlier):
            values[field.name] = _given(value, earlier)
        elif value in (0, None, "", "auto"):
            values[field.name] = earlier
    return replace(requested, **values)  # type: ignore[type-var]


def refuse_changes(
    config: C, recorded: C, owner: str, remedy: str, *, may_change: Collection[str] = MAY_CHANGE, preferred: C | None = None
) -> None:
    """Raise UserError if a setting that must stay equal has changed; the message gives both values.

    Args:
        config: the settings of the resumed run.
        recorded: its settings so far.
        owner: the run as the message names it.
        remedy: what to do instead.
        may_change: the settings that may change.
        preferred: settings as they were written; if any of the changed ones is as it was written, only those are named.
    """
    changed = {name: pair for name, pair in changes(recorded, config).items() if name not in may_change}
    if not changed:
        return
    written = _flat(as_dict(config if preferred is None else preferred))
    named = {name: pair for name, pair in changed.items() if written.get(name) == pair[1]} or changed
    now = " and ".join(f"{name}={_format(value)}" for name, (_, value) in named.items())
    before = " and ".join(f"{name}={_format(value)}" for name, (value, _) in named.items())
    raise UserError(f"{now} {'differs' if len(named) == 1 else 'differ'} from {before} of {owner}: {remedy}")


def changes(before: TrainConfig, after: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """The settings that differ, by the names of their flags, with both values; None: not set."""
    old, new = _flat(as_dict(before)), _flat(as_dict(after))
    names = [*new, *(name for name in old if name not in new)]
    return {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""

    def items() -> Iterator[tuple[str, Any]]:
        for name, value in values.items():
            if isinstance(value, dict):
                yield from _flat(value, f"{prefix}{name}.").items()
            else:
                yield prefix + name, value

    return dict(items())


def _format(value: Any) -> str:
    if value is None:
        return "(not set)"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "(empty)"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) or "''"


def check_contents(folder: ModelFolder, step: int, config: TrainConfig, contents: Mapping[str, str]) -> None:
    """Check that what a resumed run reads is what it was started with, wherever it is now.

    Args:
        folder: of the run.
        step: of the checkpoint that the run continues from.
        config: the settings of the resumed run.
        contents: hash of what each setting stands for, as `record_start` gets it; "" for one that is not set.

    Raises:
        UserError: the contents differ, or their record is missing or damaged.
    """
    start = read_history(folder)[0]
    changed = next((name for name, digest in contents.items() if start["contents"].get(name, "") != digest), None)
    if changed is None:
        return
    owner = f"the run in '{folder.path}'"
    moved = changes(read_recorded(config, folder, step), config)
    value = _format(_flat(as_dict(config)).get(changed))
    if changed == TOKENS:
        data = _format(_flat(as_dict(config))["data"])
        sentence = (
            f"data={data} has not changed, but becomes other tokens than when {owner} was started, with lmcraft "
            f"{start.get('lmcraft')}: use that version, and a chat template without the date"
        )
    elif changed in moved:
        sentence = (
            f"{changed}={value} holds other contents than {changed}={_format(moved[changed][0])} of {owner}: give the same"
        )
    else:
        sentence = f"{changed}={value} has changed since {owner} was started: restore it"
    raise UserError(f"{sentence}, or choose another --out to start a new run")


def check_tasks(folder: ModelFolder, config: TrainConfig, hashes: Mapping[str, str]) -> None:
    """Check that the tasks of a resumed run are those that it was evaluated on before; others may be added.

    Args:
        folder: of the run.
        config: the settings of the resumed run.
        hashes: the hash of each task by its name, as `record_start` gets it.

    Raises:
        UserError: a task has changed.
    """
    recorded = recorded_tasks(read_history(folder))
    changed = next((name for name, digest in hashes.items() if recorded.get(name, digest) != digest), None)
    if changed is not None:
        file = next((task for task in config.tasks if Path(task).stem == changed), changed)
        raise UserError(
            f"tasks={file} or its data have changed since the run in '{folder.path}' was evaluated on it: restore them, or "
            "give the new task another name"
        )


def check_length(config: TrainConfig, step: int | None, folder: ModelFolder) -> None:
    """Raise UserError if a run has done more steps than it should have."""
    for name in ("max_steps", "pause_at"):
        if step is not None and 0 < (value := getattr(config, name)) < step:
            raise UserError(
                f"{name}={value} is less than the {step} steps that the run in '{folder.path}' has done: give at least "
                f"{step}, or choose another --out"
            )


def record_start(
    config: TrainConfig,
    folder: ModelFolder,
    step: int | None,
    processes: Processes,
    contents: Mapping[str, str],
    tasks: Mapping[str, str],
    planned: Mapping[str, int] | None = None,
) -> str:
    """Write `run.toml` and a row of `history.jsonl`, in the main process; returns a sentence if the run is resumed.

    Args:
        config: of the run, with every choice made.
        folder: of the run.
        step: the step that it continues after; None: a new run.
        processes: the processes of the run.
        contents: hash of what each setting stands for that names a file, a folder or a model.
        tasks: hash of each task that it is evaluated on, by name.
        planned: the intervals as they were given, if the length of the run follows from its budget.
    """
    rows: list[dict[str, Any]] = []
    changed: dict[str, tuple[Any, Any]] = {}
    if step is not None:
        rows = read_history(folder)
        recorded = read_recorded(config, folder, step)
        changed = {name: pair for name, pair in changes(recorded, config).items() if name != "resume"}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    row: dict[str, Any] = {"step": step or 0, "id": uuid4().hex, "time": now}
    row |= {"lmcraft": version("lmcraft"), "processes": processes.count}
    row |= (
        {"contents": {name: digest for name, digest in contents.items() if digest}} if step is None else {"changed": changed}
    )
    row |= {"tasks": dict(tasks)} if tasks else {}
    row |= {"planned": dict(planned)} if planned is not None else {}
    if processes.is_main:
        folder.lineage.unlink(missing_ok=True)  # that of the run before it was resumed
        write_json_lines(folder.history, (*rows, row))
    write_settings(config, folder, processes)
    if step is None:
        return ""
    listed = ", ".join(f"{name} {_format(before)} -> {_format(now)}" for name, (before, now) in changed.items())
    return f"continuing after step {step}{'; changed: ' if listed else ''}{listed}"


def planned_intervals(folder: ModelFolder, config: TrainConfig) -> dict[str, int] | None:
    """The intervals as they were given for a run whose length follows from its budget; None: it is fixed.

    Args:
        folder: of the run.
        config: its settings; those of a run that continues with another length have no number of steps yet.
    """
    planned = read_history(folder)[-1].get("planned")
    if not isinstance(planned, dict) or not (config.time_budget or config.energy_budget):
        return None
    return {name: int(planned.get(name, 0)) for name in INTERVALS}


def write_settings(config: TrainConfig, folder: ModelFolder, processes: Processes) -> None:
    """Write `run.toml`, with which the run is continued, in the main process."""
    if processes.is_main:
        write_text(folder.config_toml, replace(config, resume=False, pause_at=0).to_toml())


def read_recorded(config: C, folder: ModelFolder, step: int) -> C:
    """The settings of the run that wrote the checkpoint of a step."""
    return type(config).from_toml(Checkpoints(folder).settings(step))
