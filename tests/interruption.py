"""Ctrl-C at a chosen step of a run."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lmcraft.training.loop import Trainer


@contextmanager
def interrupted_after(step: int) -> Iterator[None]:
    """In the context, SIGINT comes after this step."""
    compute = Trainer._step

    def compute_and_stop(trainer: Trainer, *arguments: Any) -> None:
        compute(trainer, *arguments)
        if trainer.progress.step == step:
            signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_step", compute_and_stop)
        yield
