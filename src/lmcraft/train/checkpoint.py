"""Checkpoints: a model folder with, beside the model, every number that the next step depends on.

No pickles: tensors are safetensors, the rest is JSON. A checkpoint is written under a temporary name and renamed, so it is
whole or not there.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lmcraft.errors import RunError
from lmcraft.folder import remove, written_whole

STATE, PROGRESS = "training_state.safetensors", "progress.json"
RNG, CUDA_RNG = "rng/cpu", "rng/cuda"


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0
    """Steps done."""
    tokens: int = 0
    """Targets trained on."""
    seconds: float = 0.0
    """Time spent in training, over all sittings."""
    best_step: int = -1
    best_loss: float = float("inf")
    """Lowest validation loss so far, and the step after which it was measured."""


class Checkpoints:
    """The checkpoints of one run: the last and the best are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}"

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, in order."""
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*"))

    def save(self, progress: Progress, optimizer: dict[str, Tensor], save_model: Callable[[Path], None]) -> None:
        """Write a checkpoint, then remove those that are neither the last nor the best.

        Raises:
            RunError: it could not be written (a full disk, say); the older checkpoints are as they were.
        """
        target = self.path(progress.step)
        try:
            with written_whole(target) as temporary:
                temporary.mkdir()
                save_model(temporary)
                save_file({**optimizer, **_rng_state()}, temporary / STATE)
                (temporary / PROGRESS).write_text(json.dumps(asdict(progress)), encoding="utf-8")
        except (OSError, SafetensorError) as error:
            left = f"the checkpoint of step {self.steps()[-1]} is intact" if self.steps() else "there is none before it"
            raise RunError(f"the checkpoint '{target}' could not be written ({error}); {left}: make room") from error
        for step in self.steps():
            if step not in (progress.step, progress.best_step):
                remove(self.path(step))

    def load(self, step: int) -> tuple[Progress, dict[str, Tensor]]:
        """The progress and the optimiser's state at a step; puts back the random generators' state."""
        state = load_file(self.path(step) / STATE)
        torch.set_rng_state(state.pop(RNG))
        if CUDA_RNG in state:
            torch.cuda.set_rng_state(state.pop(CUDA_RNG))
        return Progress(**json.loads((self.path(step) / PROGRESS).read_text(encoding="utf-8"))), state

    def copy_model(self, step: int, target: Path) -> None:
        """Copy a checkpoint's model folder, without the training state."""
        for file in self.path(step).iterdir():
            if file.name not in (STATE, PROGRESS):
                with written_whole(target / file.name) as temporary:
                    shutil.copyfile(file, temporary)


def _rng_state() -> dict[str, Tensor]:
    state = {RNG: torch.get_rng_state()}
    if torch.cuda.is_available():
        state[CUDA_RNG] = torch.cuda.get_rng_state()
    return state
