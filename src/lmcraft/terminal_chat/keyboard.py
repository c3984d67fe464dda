"""The keyboard while an answer is written: Ctrl-C, and what is typed ahead."""

import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


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
    with suppress(termios.error, OSError, ValueError):  # standard input is no terminal
        before = termios.tcgetattr(sys.stdin)
        modes = termios.tcgetattr(sys.stdin)
        modes[0] &= ~termios.ICRNL  # so that Enter stays Enter for the line that is read later
        modes[3] &= ~(termios.ECHO | termios.ICANON)
        termios.tcsetattr(sys.stdin, termios.TCSANOW, modes)
        try:
            yield
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSANOW, before)
        return
    yield
