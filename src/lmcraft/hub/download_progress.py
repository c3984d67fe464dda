"""A progress bar for downloads."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from lmcraft.terminal import format_bytes, shows_bars, stderr_console


@contextmanager
def byte_bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that sets the number of bytes received. Where no bar can be drawn, a line takes the bar's place."""
    console = stderr_console()
    if not shows_bars(console):
        print(f"{description}: {format_bytes(total)}", file=sys.stderr, flush=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not shows_bars(console)) as progress:
        task = progress.add_task(description, total=total)
        yield lambda completed: progress.update(task, completed=completed)
