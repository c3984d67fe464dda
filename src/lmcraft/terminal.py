"""Terminal output that the commands share: lines, tables, progress bars, numbers, and text that a model wrote."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn
from rich.table import Table

PrintLine = Callable[[str], object]
"""Prints one line for the person at the terminal."""
ReportProgress = Callable[[int, int], None]
"""Shows that a number of steps out of a total is done."""

MIN_TABLE_WIDTH = 60  # characters
# All but tab and line feed, and those that reverse the order of text. They are never sent to a terminal, since a model
# or a server can write any of them.
CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def stderr_console(*, quiet: bool = False) -> Console:
    """The console for progress and messages; standard output is for results."""
    return Console(stderr=True, highlight=False, markup=False, quiet=quiet)


def shows_bars(console: Console) -> bool:
    """Whether a progress bar can be drawn: on a terminal, and in a notebook that has ipywidgets."""
    return console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)


class BarDisplay:
    """A progress bar on standard error, and lines above it; without a terminal, only the lines.

    Args:
        columns: of the bar; `{task.fields[status]}` is the status.
        total: number of steps.
        completed: those that are done.
        quiet: show nothing.
    """

    def __init__(self, *columns: ProgressColumn, total: int, completed: int = 0, quiet: bool = False) -> None:
        self.console = stderr_console(quiet=quiet)
        self._bar = Progress(*columns, console=self.console, disable=quiet or not shows_bars(self.console))
        self._task = self._bar.add_task("", total=total, completed=completed, status="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def print_line(self, text: str) -> None:
        """Print a line above the bar, without the control characters that a model can write."""
        self.console.print(escape_control_characters(text), soft_wrap=True)


def line_printer(*, quiet: bool = False) -> PrintLine:
    """A function that prints a line to standard error without markup or wrapping; with `quiet`, it prints nothing."""
    console = stderr_console(quiet=quiet)
    return lambda line: console.print(escape_control_characters(line), soft_wrap=True)


def print_result(*parts: RenderableType) -> None:
    """Print tables and text to standard output, the text without markup or wrapping."""
    console = Console(highlight=False, markup=False)
    for part in parts:
        if isinstance(part, str):
            console.print(escape_control_characters(part), soft_wrap=True)
        else:
            console.print(part)


def key_value_table(title: str, rows: Mapping[str, str]) -> Table:
    """A table of names and values; a value is shown as it is, without markup."""
    table = Table(title=escape_control_characters(title), title_justify="left", show_header=False, min_width=MIN_TABLE_WIDTH)
    for name, value in rows.items():
        table.add_row(name, escape_control_characters(value))
    return table


def column_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table with a header, its columns justified right."""
    table = Table(title=escape_control_characters(title), title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*map(escape_control_characters, row))
    return table


@contextmanager
def progress_bar(description: str) -> Iterator[ReportProgress]:
    """A bar on standard error with the time left, if `shows_bars`; yields the function that moves it."""
    console = stderr_console()
    console.file = console.file  # stays there while a block redirects standard error
    with Progress(console=console, disable=not shows_bars(console)) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def format_bytes(size: float) -> str:
    """A size in bytes, KiB, MiB or GiB: 1.50 GiB."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.2f} GiB"


def format_duration(seconds: float) -> str:
    """A duration in seconds, minutes, hours or days: 3.5 min."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def format_count(value: float) -> str:
    """A large number in three digits: 1.23M; from 1e15 on, as a power of ten."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if size <= value < 1e15:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def escape_control_characters(text: str) -> str:
    """`text` with escapes, such as \\x1b, in place of all characters that a terminal would execute instead of showing."""
    return CONTROL_CHARACTERS.sub(lambda match: match[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))


def write_text(text: str, *, dim: bool = False) -> None:
    """Write to standard output and flush; characters that its encoding lacks become question marks.

    Args:
        text: written unchanged where standard output is not a terminal.
        dim: show the text in a fainter color, on a terminal only.
    """
    if sys.stdout.isatty():
        text = escape_control_characters(text)
        if dim and "NO_COLOR" not in os.environ:
            text = f"\x1b[2m{text}\x1b[0m"
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), end="", flush=True)


def print_notice(*parts: RenderableType) -> None:
    """Print messages about the conversation, texts or tables, to standard error; a terminal gets lines of whole words."""
    console, wraps = stderr_console(), sys.stderr.isatty()
    for part in parts:
        text = escape_control_characters(part) if isinstance(part, str) else part
        console.print(text, soft_wrap=not wraps and isinstance(part, str))
