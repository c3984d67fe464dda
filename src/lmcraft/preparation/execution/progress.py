"""Shows the progress of steps on standard error: a bar with rate and time left, or lines where there is no terminal."""

from collections.abc import Sequence
from time import monotonic

from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from lmcraft.preparation.contracts import Step, Unit, UnitResult
from lmcraft.terminal import BarDisplay, format_bytes, format_duration

SECONDS_BETWEEN_LINES = 30.0
SCALE = 10_000  # of the bar
MIN_SHARE_FOR_ESTIMATE = 0.005  # of all work, before the time left is shown


class Progress(BarDisplay):
    """The progress of steps, weighted by the time that they take, as `Step.weight` says.

    Args:
        steps: all of them.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        super().__init__(
            TextColumn("{task.fields[status]}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            total=SCALE,
        )
        total = sum(step.weight for step in steps)
        self._shares = {step.name: step.weight / total for step in steps}
        self._begin = self._begin_of_step = monotonic()
        self._last_line = self._begin
        self._step, self._size, self._done_bytes, self._read_bytes = "", 1, 0, 0
        self._share_of_call = 0.0  # of all work; the rest of what is done was done by earlier calls

    def begin(self, step: Step, units: Sequence[Unit], batches: Sequence[Sequence[Unit]]) -> None:
        """A step begins, of whose units only those of `batches` are to be done."""
        pending = sum(_size(unit) for batch in batches for unit in batch)
        self._step, self._size = step.name, max(sum(map(_size, units)), pending, 1)
        self._done_bytes, self._read_bytes, self._begin_of_step = self._size - pending, 0, monotonic()
        self._show()

    def advance(self, result: UnitResult) -> None:
        """A unit of the step is done."""
        self._done_bytes += _size(result.unit)
        self._read_bytes += result.unit.size
        self._share_of_call += self._shares[self._step] * _size(result.unit) / self._size
        self._show()

    def _show(self) -> None:
        now = monotonic()
        if self._bar.disable and now - self._last_line < SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        names = list(self._shares)
        number = names.index(self._step)
        share = sum(self._shares[name] for name in names[:number]) + self._shares[self._step] * self._done_bytes / self._size
        status = f"step {number + 1} of {len(names)}: {self._step}"
        if self._read_bytes:
            status += f"  {format_bytes(self._read_bytes / (now - self._begin_of_step))}/s"
        if self._share_of_call > MIN_SHARE_FOR_ESTIMATE:
            status += f"  {format_duration((now - self._begin) * (1 - share) / self._share_of_call)} left"
        if self._bar.disable:
            self.print_line(f"{share:.0%}  {status}")
        else:
            self._bar.update(self._task, completed=int(share * SCALE), status=status)


def _size(unit: Unit) -> int:
    return max(unit.size, 1)
