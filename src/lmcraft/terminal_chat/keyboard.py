"""The keyboard while an answer is written: Ctrl-C, and what is typed ahead."""

import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any


class Interruption:
    """Ctrl-C ends the wait for the next piece of an answer, never the handling of a piece.

    Use it in a `with` statement around the answer, in the main thread, and `wait` around each wait.
    """

    def __init__(self) -> None:
        self._waits = self._is_pending = False

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Ctrl-C, now or since the last wait, raises KeyboardInterrupt."""
        try:
            self._waits = True
            if self._is_pending:
                raise KeyboardInterrupt
            yield
        finally:
            self._waits = False

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._is_pending = True
        if self._waits:
            self._waits = False  # once: what follows is handled to its end
            raise KeyboardInterrupt

    def __enter__(self) -> "Interruption":
        self._earlier = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._earlier)


@contextmanager
def silent_typing() -> Iterator[None]:
    """Show nothing of what is typed, and keep it for the next line; Ctrl-C still interrupts."""
    modes = _modes()
    if modes is None:
        yield
        return
    silent = list(modes)
    silent[0] &= ~termios.ICRNL  # so that Enter stays Enter for the line that is read later
    silent[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(sys.stdin, termios.TCSANOW, silent)
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(sys.stdin, termios.TCSANOW, modes)


def _modes() -> list[Any] | None:
    """The modes of the terminal; None if standard input is none."""
    try:
        return termios.tcgetattr(sys.stdin)
    except (termios.error, OSError, ValueError):
        return None
