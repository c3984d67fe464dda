"""Measures the parts of an engine's step, and divides each among the sequences that it computes."""

import time
from collections.abc import Callable, Sequence

import torch

from lmcraft.inference.request import SequenceState


def busy_clock(device: torch.device) -> Callable[[], float]:
    """A clock, in seconds, of what keeps a device busy: the processor time of all threads, or the time of a GPU's steps."""
    return time.process_time if device.type == "cpu" else time.perf_counter


class StepClock:
    """The time of one step, part by part.

    Args:
        busy_seconds: as `busy_clock` returns it.
    """

    def __init__(self, busy_seconds: Callable[[], float]) -> None:
        self._busy_seconds = busy_seconds
        self._start, self._busy_start = time.perf_counter(), busy_seconds()

    @property
    def seconds(self) -> float:
        """On the clock, since the step or its last part began."""
        return time.perf_counter() - self._start

    def end_part(self, work: Sequence[tuple[SequenceState, int]]) -> float:
        """End a part of the step, and divide its busy time among its sequences, by tokens; without any, nothing happens.

        Args:
            work: the sequences of the part, each with the number of its tokens in it.

        Returns:
            The seconds of the part on the clock.
        """
        if not work:
            return 0.0
        seconds, now = self.seconds, self._busy_seconds()
        seconds_per_token = (now - self._busy_start) / sum(count for _, count in work)
        for sequence, count in work:
            sequence.work_seconds += count * seconds_per_token
            sequence.work_tokens += count
        self._start, self._busy_start = time.perf_counter(), now
        return seconds
