"""The tasks that lmcraft brings, and scorecards, which are lists of them."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from lmcraft.errors import UserError
from lmcraft.evaluation.task import Task
from lmcraft.setting_values import expand_user

FOLDER = Path(__file__).with_name("tasks")
SCORECARDS = "scorecards.toml"


def open_tasks(names: Sequence[str]) -> list[Task]:
    """The tasks of names, scorecards and TOML files, each once.

    Raises:
        UserError: there is no such task, or its file cannot be used.
    """
    tasks: dict[Path, Task] = {}
    for name in names:
        card = scorecards().get(name) or Scorecard((name,))
        for file in map(_file, card.tasks):
            if file not in tasks:
                tasks[file] = replace(Task.read(file), limit=card.limit)
    for file, task in tasks.items():
        others = [other for other in tasks if other != file and tasks[other].name == task.name]
        if others:
            raise UserError(f"tasks '{file}' and '{others[0]}' have the same name: rename one of the files")
    return list(tasks.values())


def task_names() -> list[str]:
    """The names of the tasks that lmcraft brings."""
    return sorted(file.stem for file in FOLDER.glob("*.toml") if file.name != SCORECARDS)


@dataclass(frozen=True)
class Scorecard:
    """Several tasks under one name."""

    tasks: Sequence[str]
    limit: int = 0
    """Number of items of each task; 0: all."""


@cache
def scorecards() -> dict[str, Scorecard]:
    """The scorecards by name."""
    tables = tomllib.loads((FOLDER / SCORECARDS).read_text(encoding="utf-8"))
    return {name: Scorecard(**table) for name, table in tables.items()}


def _file(name: str) -> Path:
    if name in task_names():
        return FOLDER / f"{name}.toml"
    path = expand_user(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise UserError(f"tasks: there is no file '{name}': check the path")
        return path
    names = [*scorecards(), *task_names()]
    nearest = get_close_matches(name, names, n=1)
    hint = f"did you mean '{nearest[0]}'?" if nearest else f"choose from {', '.join(names)}, or name a .toml file"
    raise UserError(f"tasks: there is no task '{name}': {hint}")
