"""Stopping on SIGINT, SIGTERM or SIGHUP: finish the step, save a checkpoint, exit."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, request._record) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
