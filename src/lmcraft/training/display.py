"""Show the progress of a run: a bar on a terminal and in a notebook, otherwise a line every ten seconds."""

from time import monotonic

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lmcraft.terminal import BarDisplay

SECONDS_BETWEEN_LINES = 10.0


class Display(BarDisplay):
    """Progress of a run on standard error."""

    def __init__(self, *, max_steps: int, step: int, quiet: bool = False) -> None:
        super().__init__(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[status]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            total=max_steps,
            completed=step,
            quiet=quiet,
        )
        self._max_steps = max_steps
        self._last_line = float("-inf")

    def set_length(self, max_steps: int, why: str) -> None:
        """Show another number of steps, and why, if there is a reason to print."""
        if why:
            self.print_line(why)
        self._max_steps = max_steps
        self._bar.update(self._task, total=max_steps)

    def update(self, step: int, status: str, *, seconds_left: float | None) -> None:
        """Show the state after `step`; `seconds_left` is None where nothing is known about it."""
        if not self._bar.disable:
            self._bar.update(self._task, completed=step, status=status)
        elif step == self._max_steps or monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = monotonic()
            left = "" if seconds_left is None else f"  {seconds_left:.0f} s left"
            self.print_line(f"step {step}/{self._max_steps}  {status}{left}")
