"""The run on the screen: a bar on a terminal, a line now and then elsewhere."""

from time import monotonic
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 10.0


class Display:
    """Progress of a run on stderr; `say` prints above the bar."""

    def __init__(self, *, max_steps: int, step: int, quiet: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=quiet)
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
            disable=quiet or not self.console.is_terminal,
        )
        self._task = self._bar.add_task("", total=max_steps, completed=step, status="")

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, markup=False, soft_wrap=True)

    def update(self, step: int, status: str, *, left: float) -> None:
        """Show the state after `step`; `left` is in seconds."""
        if self.console.is_terminal:
            self._bar.update(self._task, completed=step, status=status)
        elif step == self._max_steps or monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = monotonic()
            self.say(f"step {step}/{self._max_steps}  {status}  {left:.0f} s left")
