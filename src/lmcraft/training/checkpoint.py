"""Checkpoints: a model folder with, beside the model, every number that the next step depends on.

No pickles: tensors are safetensors, the rest is JSON. A checkpoint is written under a temporary name and renamed, so it is
whole or not there. It is copied in memory first and written while the run goes on; every process writes the part of the
optimizer's state that it holds, and any number of processes can read it.
"""

import json
import shutil
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from lmcraft.errors import RunError, UserError
from lmcraft.folder import atomic_write, remove_path
from lmcraft.training.processes import Processes

STATE, PROGRESS = "training_state", "progress.json"

NO_FAULT = "torch.distributed is disabled, unavailable or uninitialized"  # what torch warns of where there is one process
warnings.filterwarnings("ignore", NO_FAULT)


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0
    """Steps done."""
    tokens: int = 0
    """Targets trained on."""
    seconds: float = 0.0
    """Time spent in training, over all sittings."""
    measured_step: int = -1
    """The last step after which the validation loss was measured."""
    best_step: int = -1
    best_loss: float = float("inf")
    """Lowest validation loss so far, and the step after which it was measured."""


class Checkpoints:
    """The checkpoints of one run: the last and the best are kept."""

    def __init__(self, folder: Path, processes: Processes | None = None) -> None:
        self.folder = folder
        self.processes = processes or Processes()
        # The writing has collectives of its own, beside those of the steps that go on meanwhile.
        self._group = dist.new_group(backend="gloo") if self.processes.mesh else None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}"

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, in order."""
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*"))

    def save(self, progress: Progress, state: dict[str, Tensor], save_model: Callable[[Path], None]) -> None:
        """Begin to write a checkpoint; one that is still being written is waited for.

        When it is there, those that are neither the last nor the best are removed.

        Args:
            progress: copied here.
            state: copied here. A `DTensor`'s parts are written by the processes that hold them.
            save_model: writes the model folder's files, later and in another thread; called in the main process.

        Raises:
            RunError: the one before could not be written.
        """
        self.wait()
        copied = {name: tensor.detach().clone() for name, tensor in state.items()}
        self._writing = self._writer.submit(self._write, replace(progress), copied, save_model)

    def wait(self) -> None:
        """Until what was begun is on the disk.

        Raises:
            RunError: it could not be written (a full disk, say); the older checkpoints are as they were.
        """
        if self._writing is None:
            return
        writing, self._writing = self._writing, None
        try:
            writing.result()
        except (OSError, SafetensorError, CheckpointException) as error:
            left = f"the checkpoint of step {self.steps()[-1]} is intact" if self.steps() else "there is none before it"
            raise RunError(
                f"a checkpoint in '{self.folder}' could not be written ({_cause(error)}); {left}: make room"
            ) from error

    def _write(self, progress: Progress, state: dict[str, Tensor], save_model: Callable[[Path], None]) -> None:
        target, parts = self.path(progress.step), self.folder / f".state-{progress.step:06d}"
        if self.processes.is_main:
            for unfinished in self.folder.glob(".*"):  # what a run that was killed has left
                remove_path(unfinished)
        if state:
            self._write_state(state, parts)
        if not self.processes.is_main:
            return
        with atomic_write(target) as temporary:
            temporary.mkdir()
            if state:
                parts.replace(temporary / STATE)
            save_model(temporary)
            (temporary / PROGRESS).write_text(json.dumps(asdict(progress)), encoding="utf-8")
        for step in self.steps():
            if step not in (progress.step, progress.best_step):
                remove_path(self.path(step))

    def _write_state(self, state: dict[str, Tensor], parts: Path) -> None:
        try:
            writer = HuggingFaceStorageWriter(str(parts), save_distributed=True)
            save(state, storage_writer=writer, process_group=self._group)
        except BaseException:
            remove_path(parts)
            raise

    def load(self, step: int, blank: Callable[[str, torch.Size, torch.dtype], Tensor]) -> tuple[Progress, dict[str, Tensor]]:
        """The progress and the optimizer's state at a step; `blank` gives each tensor's room, by name, size and type."""
        folder = self.path(step) / STATE
        progress = Progress(**json.loads((self.path(step) / PROGRESS).read_text(encoding="utf-8")))
        if not folder.exists():  # there is none before the first step
            return progress, {}
        there = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
        state = {
            name: blank(name, found.size, found.properties.dtype)
            for name, found in there.items()
            if isinstance(found, TensorStorageMetadata)
        }
        load(state, storage_reader=HuggingFaceStorageReader(str(folder)), process_group=self._group)
        return progress, state

    def copy_model(self, step: int, target: Path) -> None:
        """Copy a checkpoint's model folder, without the training state."""
        for file in self.path(step).iterdir():
            if file.name not in (STATE, PROGRESS):
                with atomic_write(target / file.name) as temporary:
                    shutil.copyfile(file, temporary)


def step_to_resume(out: Path, checkpoints: Path, *, resume: bool) -> int | None:
    """The last checkpoint's step, or None for a run from the start.

    Raises:
        UserError: the folder holds a run and resume is not asked for, or the other way round.
    """
    steps = Checkpoints(checkpoints).steps()
    if steps and not resume:
        raise UserError(f"out='{out}' already holds a run: add --resume to continue it, or choose another --out")
    if resume and not steps:
        raise UserError(f"resume=true, but out='{out}' holds no checkpoint: leave --resume out to start")
    return steps[-1] if steps else None


def _cause(error: BaseException) -> BaseException:
    """What went wrong in the process where something did."""
    return next(iter(error.failures.values()))[0] if isinstance(error, CheckpointException) else error
