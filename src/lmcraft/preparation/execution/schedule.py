"""Which unit runs next, and what becomes of one that failed: again, again alone, without a document, or not at all."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lmcraft.errors import LmcraftError, RunError, UserError
from lmcraft.preparation.contracts import DocumentId, JsonObject, Unit, UnitResult
from lmcraft.preparation.execution.journal import Journal
from lmcraft.preparation.execution.task import LOG, MIN_FREE_BYTES, Answer, Task
from lmcraft.terminal import format_bytes

MAX_POISONED = 20  # documents of a unit
MAX_FAILURES = 3  # of a unit in a row, none of which can be blamed on a document
MAX_FAILURES_OF_DOCUMENT = 2
KEPT = "what is finished is kept"


class Schedule:
    """The units of a step, from the first that runs to the last that is done.

    Args:
        units: to do, in any order; the largest go first.
        work: the work folder.
    """

    def __init__(self, units: Sequence[Unit], work: Path) -> None:
        self.journal = Journal(work)
        self._waiting = sorted(units, key=lambda unit: (-unit.size, unit.number))
        self._alone: list[Unit] = []  # to run while nothing else does
        self._running: dict[str, Unit] = {}
        self._is_alone = False
        self._failures: Counter[str] = Counter()
        self._suspects: Counter[tuple[str, DocumentId]] = Counter()
        self._total, self._done, self._read_bytes, self._written_bytes = len(units), 0, 0, 0

    @property
    def is_complete(self) -> bool:
        """Whether all units are done."""
        return self._done == self._total

    @property
    def count(self) -> int:
        """The units that run or wait."""
        return self._total - self._done

    def take(self) -> Task | None:
        """The unit to run now; None if none can run until another has ended."""
        if self._is_alone:
            return None
        if self._alone and not self._running:
            unit, self._is_alone = self._alone.pop(), True
        elif self._waiting and not self._alone:
            unit = self._waiting.pop(0)
        else:
            return None
        self._running[unit.key] = unit
        return Task(unit, str(self.journal.work), self.journal.read_poisoned(unit.key))

    def settle(self, key: str, answer: Answer) -> UnitResult | None:
        """Take note of how a unit ended; returns its result if it is done.

        Raises:
            RunError, UserError: it cannot be done, and the step ends.
        """
        unit = self._running.pop(key)
        self._is_alone = False
        result = self.journal.find(unit)  # a worker that died may have finished it
        if result is not None:
            self._done += 1
            self._read_bytes += unit.size
            self._written_bytes += sum(size for size, _ in result.outputs.values())
            return result
        if answer.status == "full":
            raise self._disk_is_full(unit)
        if answer.status == "refused":
            raise _error(answer, answer.text)
        if answer.status == "done":
            raise RunError(
                f"the outputs of {_name(unit)} are not in '{self.journal.work}': the machines must share this folder"
            )
        self._retry(unit, answer)
        return None

    def _retry(self, unit: Unit, answer: Answer) -> None:
        document = answer.document if answer.status != "system" else None
        if document is not None:
            self._suspects[unit.key, document] += 1
            # An exception comes again; a death may have had another cause.
            if answer.status == "failed" or self._suspects[unit.key, document] >= MAX_FAILURES_OF_DOCUMENT:
                self._blame(unit, document, answer)
        self._failures[unit.key] += 1
        if self._failures[unit.key] >= MAX_FAILURES or (answer.status == "failed" and document is None):
            raise self._failure(unit, answer, answer.text)
        (self._alone if answer.status in ("memory", "killed") else self._waiting).insert(0, unit)

    def _blame(self, unit: Unit, document: DocumentId, answer: Answer) -> None:
        row: JsonObject = {"document": list(document), "reason": answer.status, "text": answer.text}
        poisoned = [*self.journal.read_poisoned(unit.key), row]
        if len(poisoned) > MAX_POISONED:
            raise self._failure(unit, answer, f"{len(poisoned)} documents of it failed, the last since {answer.text}")
        self.journal.write_poisoned(unit.key, poisoned)
        self._failures[unit.key] = -1  # this one does not count

    def _failure(self, unit: Unit, answer: Answer, reason: str) -> LmcraftError:
        log = "" if answer.status == "system" else f"; '{self.journal.work / LOG}' has more"
        return _error(answer, f"{_name(unit)} cannot be done: {reason}{log}; {KEPT}")

    def _disk_is_full(self, unit: Unit) -> RunError:
        left = sum(unit.size for unit in (*self._waiting, *self._alone, *self._running.values(), unit))
        needed = max(left * (self._written_bytes / self._read_bytes if self._read_bytes else 1), unit.size, MIN_FREE_BYTES)
        return RunError(
            f"the disk of '{self.journal.work}' is full after {self._done:,} of {self._total:,} units of step "
            f"'{unit.step}': free at least {format_bytes(needed)} and run the same command again; {KEPT}"
        )


def _name(unit: Unit) -> str:
    return f"unit {unit.number} of step '{unit.step}'"


def _error(answer: Answer, text: str) -> LmcraftError:
    return (UserError if answer.exit_status == UserError.exit_status else RunError)(text)
