"""Show the progress of a run: a bar on a terminal and in a notebook, otherwise a line every ten seconds."""

from time import monotonic
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lmcraft.terminal import shows_bars, stderr_console

SECONDS_BETWEEN_LINES = 10.0


class Display:
    """Progress of a run on standard error."""

    def __init__(self, *, max_steps: int, step: int, quiet: bool = False) -> None:
        self.console = stderr_console(quiet=quiet)
        self._max_steps = max_steps
        self._last_line = float("-inf")
        self._bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            disable=quiet or not shows_bars(self.console),
        )
        self._task = self._bar.add_task("", total=max_steps, completed=step, status="")

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def print_line(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, markup=False, soft_wrap=True)

    def update(self, step: int, status: str, *, seconds_left: float | None) -> None:
        """Show the state after `step`; `seconds_left` is None where nothing is known about it."""
        if not self._bar.disable:
            self._bar.update(self._task, completed=step, status=status)
        elif step == self._max_steps or monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = monotonic()
            left = "" if seconds_left is None else f"  {seconds_left:.0f} s left"
            self.print_line(f"step {step}/{self._max_steps}  {status}{left}")
