"""An executor that runs units in this process: quick, but a document that ends the process ends the tests."""

from collections.abc import Callable, Sequence
from pathlib import Path

from lmcraft.preparation.contracts import DocumentId, Unit, UnitResult
from lmcraft.preparation.execution.schedule import Schedule
from lmcraft.preparation.execution.task import Answer, perform


class InProcess:
    """An executor without workers."""

    def __init__(self) -> None:
        self.skipped: frozenset[DocumentId] = frozenset()
        self.is_timed = True  # though nothing here ends a document
        self._document: DocumentId | None = None

    def at(self, document: DocumentId | None) -> None:
        """Remember the document for the answer."""
        self._document = document

    def run(self, units: Sequence[Unit], work: Path, report: Callable[[UnitResult], None]) -> None:
        """Run units.

        Raises:
            RunError, UserError: a unit cannot be done, or the disk is full.
        """
        schedule = Schedule(units, work)
        while task := schedule.take():
            self._document = None
            answer = perform(task, self)
            result = schedule.settle(task.unit.key, Answer(answer.status, answer.text, answer.exit_status, self._document))
            if result is not None:
                report(result)

    def close(self) -> None:
        """Nothing to end."""
