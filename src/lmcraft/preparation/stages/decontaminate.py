"""Removes from documents what the items of tasks say, so that a model is not trained on what it will be asked.

A document is contaminated where it has a run of words of an item (`data/run_index.py`). The passage is cut out with some
characters on each side, and short pieces that remain are dropped, as for GPT-3 (arXiv 2005.14165, appendix C).

One unit builds the index, since reading tasks needs `evaluation`; the workers read its arrays.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from lmcraft.data.run_index import MIN_WORDS, RUN_WORDS, Occurrence, RunIndex
from lmcraft.data.words import word_spans, words_of
from lmcraft.errors import LmcraftError, UserError
from lmcraft.folder import read_json, write_json
from lmcraft.preparation.contracts import KEEP, JsonObject, Position, Record, Tally, Unit, Verdict
from lmcraft.preparation.counting import TASK_ITEMS

if TYPE_CHECKING:
    from lmcraft.evaluation.task import Task

ALL = "all"
MARGIN_CHARS = 200  # cut on each side of a passage
MIN_PIECE_CHARS = 200
MAX_PIECES = 10  # a document that falls into more is removed
TASKS = "tasks.json"


@dataclass(frozen=True)
class Decontaminate:
    """Looks for the items of tasks, with their right answers."""

    tasks: tuple[str, ...] = (ALL,)
    """Tasks, scorecards or TOML files of tasks; all: every task that `lmcraft evaluate` brings."""
    run: int = RUN_WORDS
    """Number of words in a row that a document shares with an item; shorter items: all of their words, at least 8."""
    action: Literal["cut", "drop", "report"] = "cut"
    """Cut the passages out, drop the documents, or only report them."""
    strict: bool = False
    """Fail if the data of a task cannot be opened, instead of listing the task as not checked."""

    name: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 1
    reasons: ClassVar[Sequence[str]] = ("task-item", "mostly-task-items")

    def __post_init__(self) -> None:
        if self.run < MIN_WORDS:
            raise UserError(f"run={self.run} is too short: {MIN_WORDS} words or more tell a copy from a common phrase")
        if not self.tasks:
            raise UserError('tasks is empty: name tasks, or leave it out for ["all"]')

    def fingerprint(self) -> JsonObject:
        """The settings, and the hash of each task."""
        return {"tasks": self._survey[0], "run": self.run, "action": self.action}

    def resource(self) -> Unit:
        """The unit that builds the index."""
        checked, skipped = self._survey
        arguments = {"tasks": checked, "skipped": skipped, "run": self.run, "strict": self.strict}
        return Unit(f"resource/{self.name}", 0, f"{__name__}:build_index", arguments, version=self.version)

    def open(self, folder: Path) -> None:
        """Read the index."""
        object.__setattr__(self, "_folder", folder)
        self.__dict__.pop("_index", None)

    def judge(self, record: Record) -> Verdict:
        """Cuts, drops or reports a document that has runs of an item."""
        occurrences = self._index.find(words_of(record))
        if not occurrences:
            return KEEP
        passages = find_passages(record.text, occurrences)
        items = sorted({occurrence.item for occurrence in occurrences})
        start, end = passages[0]
        notes = {TASK_ITEMS: [self._name_item(item) for item in items]}
        verdict = Verdict("task-item", value=len(items), evidence=record.text[start:end], notes=notes)
        if self.action == "report":
            return replace(verdict, text=record.text)
        if self.action == "drop":
            return verdict
        pieces = cut_passages(record.text, passages)
        if not pieces or len(pieces) > MAX_PIECES:
            return replace(verdict, reason="mostly-task-items")
        return replace(verdict, text="\n\n".join(pieces))

    @cached_property
    def _index(self) -> RunIndex:
        return RunIndex.load(self.__dict__["_folder"])

    @cached_property
    def _tasks(self) -> list[JsonObject]:
        tasks: list[JsonObject] = read_json(self.__dict__["_folder"] / TASKS)["tasks"]
        return tasks

    def _name_item(self, item: int) -> str:
        """An item by its task and its number in it."""
        task = next(task for task in reversed(self._tasks) if task["first"] <= item)
        return f"{task['name']}/{item - task['first']}"

    @cached_property
    def _survey(self) -> tuple[dict[str, str], list[JsonObject]]:
        """The hash of each task whose data can be opened, by its name or file, and the others with the reason."""
        checked: dict[str, str] = {}
        skipped: list[JsonObject] = []
        for name, task in _open_tasks(self.tasks):
            try:
                checked[name] = task.hash
            except (LmcraftError, OSError) as error:
                if self.strict:
                    raise _not_checked(task, error) from error
                skipped.append({"task": task.name, "reason": str(error)})
        return checked, skipped


def find_passages(text: str, occurrences: Sequence[Occurrence]) -> list[tuple[int, int]]:
    """The passages of occurrences in characters, in order; those that overlap or touch are one."""
    spans = word_spans(text)
    passages: list[tuple[int, int]] = []
    for occurrence in occurrences:
        start, end = spans[occurrence.first][0], spans[occurrence.last - 1][1]
        if passages and start <= passages[-1][1]:
            passages[-1] = (passages[-1][0], max(passages[-1][1], end))
        else:
            passages.append((start, end))
    return passages


def cut_passages(text: str, passages: Sequence[tuple[int, int]]) -> list[str]:
    """What is left of a text without passages and their margins, in pieces that are long enough."""
    pieces, begin = [], 0
    for start, end in passages:
        pieces.append(text[begin : max(start - MARGIN_CHARS, begin)])
        begin = end + MARGIN_CHARS
    pieces.append(text[begin:])
    return [piece for piece in map(str.strip, pieces) if len(piece) >= MIN_PIECE_CHARS]


def build_index(
    arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position
) -> tuple[Tally, JsonObject]:
    """The unit that reads the tasks and writes the runs of their items.

    Returns:
        As values, the tasks with their numbers of items, and those that could not be checked, with the reason.
    """
    from lmcraft.evaluation.run import open_method

    groups: list[dict[int, str]] = []
    tasks: list[JsonObject] = []
    skipped: list[JsonObject] = list(arguments["skipped"])
    first = 0
    for _, task in _open_tasks(list(arguments["tasks"])):
        try:
            method = open_method(replace(task, limit=0))
            texts = {first + number: method.item_text(row) for number, row in enumerate(method.rows)}
        except (LmcraftError, OSError) as error:
            if arguments["strict"]:
                raise _not_checked(task, error) from error
            skipped.append({"task": task.name, "reason": str(error)})
            continue
        groups.append(texts)
        tasks.append({"name": task.name, "first": first, "items": len(texts)})
        first += len(texts)
    index = RunIndex.build(groups, arguments["run"])
    for entry, texts in zip(tasks, groups, strict=True):
        entry["indexed"] = len(index.items & texts.keys())
    index.save(out)
    write_json(out / TASKS, {"tasks": tasks})
    return Tally(), {"tasks": tasks, "skipped": skipped}


def _open_tasks(names: Sequence[str]) -> Iterator[tuple[str, "Task"]]:
    """Tasks, and the names or files that open them."""
    from lmcraft.evaluation.catalog import FOLDER, open_tasks, task_names

    for task in open_tasks([name for each in names for name in (task_names() if each == ALL else [each])]):
        yield task.name if task.folder == FOLDER else str(task.folder / f"{task.name}.toml"), task


def _not_checked(task: "Task", error: Exception) -> UserError:
    return UserError(f"task '{task.name}' cannot be checked for its items: {error}; or set strict = false")
