"""Stopping on SIGINT, SIGTERM or SIGHUP: finish the step, save a checkpoint, exit; or at once, before the first step."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from lmcraft.errors import InterruptedRunError


class StopRequest:
    """Records the first SIGINT, SIGTERM or SIGHUP; a second SIGINT interrupts immediately."""

    def __init__(self) -> None:
        self.signal_number = 0

    def __bool__(self) -> bool:
        return self.signal_number != 0

    def _record(self, signal_number: int, frame: FrameType | None) -> None:
        if self and signal_number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_number = signal_number


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Record signals as requests to stop; no effect outside the main thread, where Python allows no handlers.

    SIGHUP, which the end of a terminal sends, is left to `nohup` where that has it ignored.
    """
    request = StopRequest()
    with _handling(request._record, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        yield request


@contextmanager
def interrupt_on_signals() -> Iterator[None]:
    """End the block at once on SIGTERM or SIGHUP, in an orderly way, except where `stop_on_signals` takes them.

    Raises:
        InterruptedRunError: a signal came.
    """
    request = StopRequest()

    def interrupt(signal_number: int, frame: FrameType | None) -> None:
        request.signal_number = signal_number
        raise KeyboardInterrupt  # which no code takes for an error of its own

    with _handling(interrupt, signal.SIGTERM, signal.SIGHUP):
        try:
            yield
        except KeyboardInterrupt as error:
            if request:
                raise InterruptedRunError(str(error) or "stopped by a signal", request.signal_number) from error
            raise


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None], *numbers: signal.Signals) -> Iterator[None]:
    """Handle signals in the main thread, but for a SIGHUP that is ignored; as before after the block."""
    before = dict[signal.Signals, Any]()
    if threading.current_thread() is threading.main_thread():
        taken = [number for number in numbers if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, handler) for number in taken}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
