"""What a worker gets and answers, as lines of JSON: a unit with the documents to skip, and how it ended."""

import errno
import os
import shutil
import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from lmcraft.errors import LmcraftError, RunError, explain_os_error
from lmcraft.folder.writing import name_file
from lmcraft.json_lines import format_json_line, parse_json
from lmcraft.preparation.contracts import DocumentId, JsonObject, Position, RunUnit, Unit, UnitResult
from lmcraft.preparation.execution.journal import Journal, describe_outputs

LOG = "log.txt"  # in the work folder: what workers and their libraries print
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
MIN_FREE_BYTES = 2**20  # with less, any error is taken for one of a full disk: not every library says which it was
MAX_TEXT_CHARACTERS = 2000  # of an error

Status = Literal["done", "full", "refused", "system", "failed", "memory", "killed", "died", "hung"]


@dataclass(frozen=True)
class Task:
    """A unit for a worker."""

    unit: Unit
    work: str
    poisoned: Sequence[JsonObject] = ()
    """Documents to skip, as in `UnitResult.poisoned`."""


@dataclass(frozen=True)
class Answer:
    """How a unit ended in a worker."""

    status: Status
    """full: the disk. refused: an error for the user. system: one of the operating system. failed: an exception of the code.
    memory: there was too little. killed: by SIGKILL, as the system does when memory runs out. died: the worker ended.
    hung: it was ended, since it read one document for too long."""
    text: str = ""
    """The error, or how the worker ended."""
    exit_status: int = 1
    """Of the error."""
    document: DocumentId | None = None
    """The worker was reading it."""


def perform(task: Task, position: Position) -> Answer:
    """Run a task; whatever fails is in the answer."""
    work = Path(task.work)
    try:
        _run_unit(task, work, position)
    except LmcraftError as error:
        return Answer("refused", str(error), error.exit_status)
    except MemoryError:
        return Answer("memory", "too little memory")
    except OSError as error:
        name_file(error, work)
        explained = explain_os_error(error)
        return Answer("full" if error.errno in DISK_FULL else "system", str(explained), explained.exit_status)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # such as a panic of a library in Rust
        traceback.print_exception(error)
        return Answer("failed", f"{type(error).__name__}: {error}"[:MAX_TEXT_CHARACTERS])
    return Answer("done")


def _run_unit(task: Task, work: Path, position: Position) -> None:
    begin, unit, journal = time.monotonic(), task.unit, Journal(work)
    inputs = {key: journal.folder(key) for key in unit.inputs}
    position.at(None)
    position.is_timed = True
    position.skipped = frozenset(DocumentId(*row["document"]) for row in task.poisoned)
    with journal.writing(unit.key) as out, _noting_full_disk(work):
        tally, values = _find_function(unit)(unit.arguments, inputs, out, position)
        position.at(None)
        for document in task.poisoned:
            name = f"poisoned/{document['text']}"
            tally.counts[name] = tally.counts.get(name, 0) + 1
        outputs, seconds = describe_outputs(out), time.monotonic() - begin
        journal.finish(UnitResult(unit, outputs, tally, values, task.poisoned, seconds), out)


@contextmanager
def _noting_full_disk(folder: Path) -> Iterator[None]:
    """Raise OSError in place of what libraries raise when the disk is full."""
    try:
        yield
    except Exception as error:
        if is_full(folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


def is_full(folder: Path) -> bool:
    """Whether the disk of a folder is full."""
    return shutil.disk_usage(folder).free < MIN_FREE_BYTES


def _find_function(unit: Unit) -> RunUnit:
    module, _, name = unit.function.partition(":")
    try:
        function: RunUnit = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise RunError(f"step '{unit.step}' cannot be run: {error}") from error
    return function


def format_task(task: Task) -> bytes:
    """A task as a line."""
    return format_json_line(asdict(task)).encode()


def parse_task(line: bytes) -> Task:
    """The task in a line."""
    row = parse_json(line)
    unit = row["unit"]
    return Task(Unit(**unit | {"inputs": tuple(unit["inputs"])}), row["work"], row["poisoned"])


def format_answer(answer: Answer) -> bytes:
    """An answer as a line."""
    return format_json_line(asdict(answer)).encode()


def parse_answer(line: bytes) -> Answer:
    """The answer in a line."""
    row = parse_json(line)
    return Answer(**row | {"document": row["document"] and DocumentId(*row["document"])})


def describe_end(returncode: int) -> str:
    """How a process ended, as part of a sentence."""
    if returncode >= 0:
        return f"its worker ended with status {returncode}"
    try:
        name = f" ({signal.Signals(-returncode).name})"
    except ValueError:
        name = ""
    return f"its worker was ended by signal {-returncode}{name}"
