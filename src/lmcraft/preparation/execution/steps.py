"""Runs steps one after the other: what is finished stays, and what no step to come reads is deleted."""

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path

from lmcraft.errors import InterruptedRunError, RunError, UserError
from lmcraft.preparation.contracts import Executor, Step, Unit, UnitResult
from lmcraft.preparation.execution.journal import Journal
from lmcraft.preparation.execution.progress import Progress
from lmcraft.training.signals import stop_on_signals

Results = dict[str, list[UnitResult]]


def run_steps(
    steps: Sequence[Step], work: Path, executor: Executor, *, keep: Collection[str] = ()
) -> dict[str, list[UnitResult]]:
    """Run steps, or what is not finished of them; the same call continues after an error, a signal or a kill.

    Args:
        steps: in order; each starts when those before it are complete.
        work: the work folder, in which nothing else works.
        executor: closed at the end.
        keep: steps whose outputs stay, besides those that no later step reads.

    Returns:
        The results of each step by its name, in the order of its units. Their tallies are left out to bound memory:
        `total_tally` sums those of the journal.

    Raises:
        InterruptedRunError: a signal came.
        RunError, UserError: a unit cannot be done, or the disk is full.
    """
    journal, results = Journal(work), Results()
    with closing(executor), stop_on_signals() as stop, Progress(steps) as progress:
        journal.clean()
        for number, step in enumerate(steps):
            units = step.units(results)
            needed = needed_after(steps, number) | set(keep)
            outputs, batches = _Outputs(journal, results, needed), _batches(journal, units)
            outputs.count_readers(batches)
            progress.begin(step, units, batches)

            def note_done(result: UnitResult, outputs: _Outputs = outputs) -> None:
                outputs.note_done(result)
                progress.advance(result)

            for batch in batches:
                executor.run(batch, work, note_done)
            results[step.name] = [_finished(journal, unit) for unit in units]
            outputs.release(results.keys() - needed)
            if stop:
                raise InterruptedRunError("stopped by a signal; the same command continues", stop.signal_number)
    return results


def run_share(steps: Sequence[Step], work: Path, executor: Executor, name: str, share: slice) -> None:
    """Run some units of a step, as an element of an array job that shares the work folder with others.

    Args:
        steps: in order.
        work: the work folder.
        executor: closed at the end.
        name: of the step.
        share: of its units.

    Raises:
        InterruptedRunError: a signal came.
        RunError, UserError: there is no such step, one before it is not complete, or a unit cannot be done.
    """
    journal, results = Journal(work), Results()
    names = [step.name for step in steps]
    check_step(name, names)
    number = names.index(name)
    for step in steps[:number]:
        units = step.units(results)
        finished = [result for unit in units if (result := journal.find(unit))]
        if len(finished) < len(units):
            raise RunError(
                f"step '{name}' needs step '{step.name}', which lacks {len(units) - len(finished):,} units: run it"
            )
        results[step.name] = finished
    with closing(executor):
        for batch in _batches(journal, steps[number].units(results)[share]):
            executor.run(batch, work, lambda result: None)


def check_step(name: str, names: Sequence[str]) -> None:
    """Raise UserError unless a step is one of those of a preparation."""
    if name not in names:
        raise UserError(f"step='{name}' is not a step of this preparation: use one of {', '.join(names)}")


class _Outputs:
    """Deletes the outputs of units as soon as nothing to come reads them.

    Args:
        results: of the steps before this one.
        needed: the steps whose outputs must stay.
    """

    def __init__(self, journal: Journal, results: Results, needed: Collection[str]) -> None:
        self._journal, self._results = journal, results
        self._unneeded = {result.unit.key for name, finished in results.items() if name not in needed for result in finished}
        self._readers: Counter[str] = Counter()

    def count_readers(self, batches: Sequence[Sequence[Unit]]) -> None:
        """Take note of what the units to run read."""
        self._readers.update(key for batch in batches for unit in batch for key in set(unit.inputs))

    def note_done(self, result: UnitResult) -> None:
        """A unit is done, so its inputs have one reader less."""
        for key in set(result.unit.inputs):
            self._readers[key] -= 1
            if not self._readers[key] and key in self._unneeded:
                self._journal.release(key)

    def release(self, names: Collection[str]) -> None:
        """Delete what is left of the outputs of steps."""
        for result in (result for name in names for result in self._results[name]):
            if self._journal.folder(result.unit.key).exists():
                self._journal.release(result.unit.key)


def _batches(journal: Journal, units: Sequence[Unit]) -> list[list[Unit]]:
    """What must run, in order: first units whose outputs were deleted and are needed again, last the units themselves."""
    batches: list[dict[str, Unit]] = []
    batch = {unit.key: unit for unit in units if journal.find(unit) is None}
    while batch:
        batches.insert(0, batch)
        keys = {key for unit in batch.values() for key in unit.inputs}
        batch = {key: _recorded(journal, key) for key in sorted(keys) if not journal.has_outputs(key)}
    seen: set[str] = set()
    for batch in batches:
        for key in seen & batch.keys():
            del batch[key]
        seen |= batch.keys()
    for key in seen:
        journal.forget(key)
    return [list(batch.values()) for batch in batches]


def _recorded(journal: Journal, key: str) -> Unit:
    result = journal.read(key)
    if result is None:
        raise RunError(f"unit {key} is not in '{journal.work}', though another reads its outputs: prepare with --fresh")
    return result.unit


def _finished(journal: Journal, unit: Unit) -> UnitResult:
    result = journal.find(unit)
    if result is None:
        raise RunError(f"unit {unit.number} of step '{unit.step}' has vanished from '{journal.work}': run the command again")
    return result


def _readers(steps: Sequence[Step], name: str) -> list[int]:
    """The numbers of the steps that may read the outputs of one."""
    own = [step.name for step in steps].index(name)
    return [k for k, step in enumerate(steps) if k > own and (step.reads is None or name in step.reads)]


def needed_after(steps: Sequence[Step], number: int) -> set[str]:
    """The steps whose outputs a step after this one reads, or none at all."""
    readers = {step.name: _readers(steps, step.name) for step in steps}
    return {name for name, numbers in readers.items() if not numbers or numbers[-1] > number}
