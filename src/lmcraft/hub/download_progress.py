"""A progress bar for downloads."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from lmcraft.terminal import format_bytes


@contextmanager
def byte_bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that sets the number of bytes received. Without a terminal, a line takes the bar's place."""
    if not sys.stderr.isatty():
        print(f"{description}: {format_bytes(total)}", file=sys.stderr, flush=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(description, total=total)
        yield lambda completed: progress.update(task, completed=completed)
