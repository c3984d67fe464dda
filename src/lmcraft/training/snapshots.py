"""Copies of the model along a run, which stay: `lmcraft explain` reads how a text was learned from them."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from lmcraft.model.transformer import Transformer
from lmcraft.training.checkpoint import Checkpoints


@lru_cache(maxsize=2)  # a run asks after each step
def snapshot_steps(count: int, max_steps: int) -> frozenset[int]:
    """The steps of which a run keeps a snapshot: before the first step, and then evenly on a logarithmic scale.

    Early steps change the model most, and so have most of the snapshots, as in Pythia (arXiv 2304.01373, section 2.1).

    Args:
        count: of the snapshots, at least 2; if there are fewer steps, each has one.
        max_steps: the last step, which has one.
    """
    number = min(count, max_steps + 1)
    steps = [0, max_steps] if number == 2 else [0, 1]
    for remaining in range(number - 2, 0, -1):
        step = round(steps[-1] * (max_steps / steps[-1]) ** (1 / remaining))
        steps.append(min(max(steps[-1] + 1, step), max_steps - remaining + 1))
    return frozenset(steps)


class Snapshots:
    """Keeps the snapshots of one run.

    Args:
        checkpoints: of the run.
        count: of the snapshots; 0: none.
        copy: copies a model as it is now, in all processes, and returns a function that writes the copy to a folder.
    """

    def __init__(self, checkpoints: Checkpoints, count: int, copy: Callable[[Transformer], Callable[[Path], None]]) -> None:
        self._checkpoints, self._count, self._copy = checkpoints, count, copy

    def keep(self, model: Transformer, step: int, max_steps: int) -> None:
        """Write a snapshot in the background if one is due after `step` of `max_steps` steps.

        Raises:
            RunError: the previous checkpoint or snapshot could not be written.
        """
        if self._count and step in snapshot_steps(self._count, max_steps):
            self._checkpoints.keep_model(step, self._copy(model))
