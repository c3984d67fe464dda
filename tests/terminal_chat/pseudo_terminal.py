"""A program in a terminal: what it shows on the screen, and keys typed into it."""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pyte

import lmcraft

TIMEOUT_SECONDS = 60.0  # only until a test fails; machines in CI may stand still for a while
ENTER, ALT_ENTER, CTRL_C, CTRL_D = "\r", "\x1b\r", "\x03", "\x04"
SOURCE = str(Path(lmcraft.__file__).parents[1])


class Terminal:
    """A program and the screen that it draws.

    Args:
        pid: of the program.
        descriptor: the terminal's end of its input and output.
        columns, rows: the size of the screen.
    """

    def __init__(self, pid: int, descriptor: int, columns: int, rows: int) -> None:
        self.pid, self._descriptor = pid, descriptor
        self._screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self._screen.write_process_input = self.type  # answers to questions about the cursor
        self._stream = pyte.ByteStream(self._screen)
        self.output = b""
        """All bytes that the program wrote."""
        self.status: int | None = None
        """Its exit status, once it has ended."""
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        self._screen.resize(rows, columns)
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def paste(self, text: str) -> None:
        """Paste as terminals do that mark what is pasted."""
        self.type(f"\x1b[200~{text}\x1b[201~")

    @property
    def text(self) -> str:
        """The screen and what has scrolled off it, without spaces at the ends of lines."""
        columns = range(self._screen.columns)
        top = ["".join(line[column].data for column in columns) for line in self._screen.history.top]
        return "\n".join(line.rstrip() for line in [*top, *self._screen.display]).rstrip()

    def style_of(self, text: str) -> pyte.screens.Char:
        """The first character of a text on the screen, with its style."""
        for y, line in enumerate(self._screen.display):
            if (x := line.find(text)) >= 0:
                return self._screen.buffer[y][x]
        raise AssertionError(f"{text!r} is not on the screen:\n{self.text}")

    def wait_for(self, *texts: str, count: int = 1) -> None:
        """Read until all texts are shown, each at least `count` times."""
        self.wait_until(lambda: all(self.text.count(text) >= count for text in texts), f"{texts} to be shown")

    def wait_until(self, condition: Callable[[], bool], name: str) -> None:
        """Read until the condition holds; `name` says in a failure which."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not condition():
            if self.status is not None or time.monotonic() > deadline:
                raise AssertionError(f"waited for {name}; the screen has:\n{self.text}")
            self._read()

    def wait_until_gone(self, text: str) -> None:
        self.wait_until(lambda: text not in self.text, f"{text!r} to be gone")

    def wait_for_prompt(self) -> None:
        """Read until the program waits for a line, which it says beside an empty one."""
        self.wait_until(lambda: self._screen.display[self._screen.cursor.y].startswith("> Send a message"), "a prompt")

    def wait_for_end(self) -> int:
        """Read until the program ends; returns its exit status."""
        self.wait_until(lambda: self.status is not None, "the end")
        assert self.status is not None
        return self.status

    def kill(self) -> None:
        """End the program as a crash does."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait_for_end()

    def _read(self) -> None:
        if not select.select([self._descriptor], [], [], 0.1)[0]:
            return
        data = b""
        with suppress(OSError):  # how Linux says that the program has closed its end
            data = os.read(self._descriptor, 65536)
        self.output += data
        self._stream.feed(data)
        if not data:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextmanager
def chat_at_terminal(
    data: Path, *arguments: str, columns: int = 80, rows: int = 40, environment: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """`lmcraft chat` in a terminal.

    Args:
        data: the user's data folder.
        arguments: of the command.
    """
    pid, descriptor = pty.fork()
    if pid == 0:
        others = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        others |= {"TERM": "xterm-256color", "LMCRAFT_DATA": str(data), "PYTHONPATH": SOURCE, **(environment or {})}
        os.execve(sys.executable, [sys.executable, "-m", "lmcraft", "chat", *arguments], others)
    terminal = Terminal(pid, descriptor, columns, rows)
    try:
        yield terminal
    finally:
        if terminal.status is None:
            terminal.kill()
        os.close(descriptor)
