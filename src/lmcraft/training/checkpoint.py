"""Checkpoints: a model folder plus the training state that the next step needs, and the settings of its run.

Nothing is pickled: tensors are safetensors, everything else is JSON. A checkpoint is written under a temporary name and
renamed, so it is either complete or absent. It is copied in memory first and written while training continues. Each process
writes its shard of the optimizer state, and any number of processes can load it. `progress.json` holds the hashes of the
other files, so that a checkpoint that was damaged later is never loaded, and the id of the start after which it was written
(`history`), so that the checkpoint of another run is neither loaded nor removed.
"""

import json
import math
import re
import shutil
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
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
from torch.distributed.tensor import DTensor

from lmcraft.errors import RunError, UserError, explain_os_error
from lmcraft.folder import ModelFolder, atomic_write, name_file, remove_path, sha256_of
from lmcraft.folder.output import is_run
from lmcraft.training.history import read_history, start_ids
from lmcraft.training.processes import Processes

STATE, PROGRESS, SETTINGS = "training_state", "progress.json", "run.toml"
START = "start"  # in `PROGRESS`: the id of the start of the run after which the checkpoint was written
STEP_FOLDER = re.compile(r"step-(\d{6,})")

SINGLE_PROCESS_WARNING = "torch.distributed is disabled, unavailable or uninitialized"
warnings.filterwarnings("ignore", SINGLE_PROCESS_WARNING)


@dataclass
class Progress:
    """The progress of a run."""

    step: int = 0
    """Completed steps."""
    tokens: int = 0
    """Number of targets trained on."""
    seconds: float = 0.0
    """Time spent in training steps, before and after interruptions."""
    measured_step: int = -1
    """The latest step with a validation loss."""
    sampled_step: int = -1
    """The latest step with a text sample."""
    evaluated_step: int = -1
    """The latest step with scores on the tasks."""
    best_step: int = -1
    best_loss: float = float("inf")
    """Lowest validation loss so far, at `best_step`."""


class Checkpoints:
    """The checkpoints of one run. The latest and the best are kept."""

    def __init__(self, run: ModelFolder, processes: Processes | None = None) -> None:
        self._run = run
        self.folder = run.checkpoints
        self.processes = processes or Processes()
        # The writer thread needs its own process group, since the training steps use the other one at the same time.
        self._group = dist.new_group(backend="gloo") if self.processes.mesh else None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        self._latest: Path | None = None
        """The checkpoint that was read or written last."""

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}"

    def settings(self, step: int) -> Path:
        """The file with the settings of the run that wrote the checkpoint of a step."""
        return self.path(step) / SETTINGS

    def steps(self) -> list[int]:
        """The steps of which the run has a checkpoint, in order; one that cannot be read counts as the run's."""
        return self._split_steps()[0]

    def foreign_steps(self) -> list[int]:
        """The steps whose checkpoint is of another run."""
        return self._split_steps()[1]

    def _split_steps(self) -> tuple[list[int], list[int]]:
        matches = (STEP_FOLDER.fullmatch(path.name) for path in self.folder.glob("step-*") if path.is_dir())
        starts, own, foreign = start_ids(self._run), list[int](), list[int]()
        for step in sorted(int(match[1]) for match in matches if match):
            try:
                is_own = self._read_record(step)[1] in starts
            except UserError:
                is_own = True
            (own if is_own else foreign).append(step)
        return own, foreign

    @cached_property
    def _start(self) -> str:
        """The id of the start that the checkpoints are written after; it must be recorded before the first one."""
        return start_ids(self._run)[-1]

    def save(
        self, progress: Progress, state: dict[str, Tensor], save_model: Callable[[Path], None], settings: str = ""
    ) -> None:
        """Wait for the previous checkpoint, then write one in the background and remove all but the latest and the best.

        Args:
            progress: copied before this returns.
            state: copied before this returns. Each process writes its shards of a `DTensor`.
            save_model: writes the model folder's files; called later, in another thread of the main process.
            settings: of the run, as TOML.

        Raises:
            RunError: the previous checkpoint could not be written, or is gone.
        """
        self.wait()
        self.check_in_place()
        copied = {name: _copy(tensor) for name, tensor in state.items()}
        self._writing = self._writer.submit(self._write, replace(progress), copied, save_model, settings)
        self._latest = self.path(progress.step)

    def check_in_place(self) -> None:
        """Check that the folder is where it was, since writing there would create it anew.

        Raises:
            RunError: the latest checkpoint is not there any more.
        """
        if self.processes.is_main and self._latest is not None and not self._latest.is_dir():
            raise RunError(
                f"'{self._latest}' is gone, since the folder of the run was moved or removed: continue with --resume where "
                "the folder is now"
            )

    def wait(self) -> None:
        """Wait until the checkpoint is on the disk.

        Raises:
            RunError: it could not be written, for example because the disk is full; the older checkpoints are intact.
        """
        if self._writing is None:
            return
        writing, self._writing = self._writing, None
        try:
            writing.result()
        except (OSError, SafetensorError, CheckpointException) as error:
            steps = self.steps()
            intact = f"the checkpoint of step {steps[-1]} is intact, and --resume continues from it" if steps else ""
            older = intact or "the run has no checkpoint yet"
            raise RunError(f"{self._explain(error)}; {older}") from error

    def _explain(self, error: BaseException) -> str:
        """The cause of an error of writing, in the process that failed."""
        cause = next(iter(error.failures.values()))[0] if isinstance(error, CheckpointException) else error
        if not isinstance(cause, OSError):
            return f"a checkpoint in '{self.folder}' cannot be written: {cause}"
        name_file(cause, self.folder)
        return str(explain_os_error(cause))

    def _write(
        self, progress: Progress, state: dict[str, Tensor], save_model: Callable[[Path], None], settings: str
    ) -> None:
        target, parts = self.path(progress.step), self.folder / f".state-{progress.step:06d}"
        if self.processes.is_main:
            for unfinished in self.folder.glob(".*"):  # left by a run that was killed
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
            (temporary / SETTINGS).write_text(settings, encoding="utf-8")
            finite = {name: value for name, value in asdict(progress).items() if math.isfinite(value)}
            record = finite | {START: self._start, "files": _hashes(temporary)}
            (temporary / PROGRESS).write_text(json.dumps(record), encoding="utf-8")
        self.remove_others(progress)

    def keep_model(self, step: int, save_model: Callable[[Path], None]) -> None:
        """Wait for the previous checkpoint, then write a model in the background to the run's snapshots, where it stays.

        Args:
            step: after which it is as it is.
            save_model: as in `save`.

        Raises:
            RunError: the previous checkpoint could not be written.
        """
        self.wait()
        if self.processes.is_main:
            self._writing = self._writer.submit(_write_model, self._run.snapshots / self.path(step).name, save_model)

    def remove_others(self, progress: Progress) -> None:
        """Remove all checkpoints of the run but the latest and the best."""
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

    def check(self, step: int) -> Progress:
        """The progress that the checkpoint of a step records.

        Raises:
            UserError: a file of the checkpoint is missing or is not the one that was written.
        """
        folder, (progress, _, files) = self.path(step), self._read_record(step)
        if progress.step != step:
            raise UserError(f"checkpoint '{folder}' is damaged: its {PROGRESS} is of step {progress.step}")
        for name, digest in files.items():
            if not (folder / name).is_file():
                raise UserError(f"checkpoint '{folder}' is damaged: {name} is missing")
            if sha256_of(folder / name) != digest:
                raise UserError(f"checkpoint '{folder}' is damaged: {name} is not the file that was written")
        return progress

    def progress(self, step: int) -> Progress:
        """As `check`, without reading the other files."""
        return self._read_record(step)[0]

    def _read_record(self, step: int) -> tuple[Progress, str, dict[str, str]]:
        """What a checkpoint records: the progress, the id of the start, and the hash of each other file."""
        folder = self.path(step)
        try:
            record = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
            start, files = str(record.pop(START, "")), dict(record.pop("files"))
            return Progress(**record), start, files
        except (FileNotFoundError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise UserError(f"checkpoint '{folder}' is damaged: {PROGRESS} is missing or cannot be read") from error

    def load(self, step: int, blank: Callable[[str, torch.Size, torch.dtype], Tensor]) -> tuple[Progress, dict[str, Tensor]]:
        """Read the progress and optimizer state of a step; `blank` allocates each tensor from its name, size and dtype.

        `step_to_resume` has checked its files.
        """
        folder, (progress, _, _) = self.path(step) / STATE, self._read_record(step)
        self._latest = self.path(step)
        if not folder.exists():  # no state before the first step, and never with plain SGD
            return progress, {}
        saved = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
        state = {
            name: blank(name, metadata.size, metadata.properties.dtype)
            for name, metadata in saved.items()
            if isinstance(metadata, TensorStorageMetadata)
        }
        load(state, storage_reader=HuggingFaceStorageReader(str(folder)), process_group=self._group)
        return progress, state

    def copy_model(self, step: int, target: Path) -> None:
        """Copy the model folder of a checkpoint, without the training state."""
        for file in self.path(step).iterdir():
            if file.name not in (STATE, PROGRESS, SETTINGS):
                with atomic_write(target / file.name) as temporary:
                    shutil.copyfile(file, temporary)


def step_to_resume(run: ModelFolder, *, resume: bool) -> int | None:
    """The step of the latest checkpoint; None to start from scratch.

    Raises:
        UserError: the folder holds a run and `resume` is false, or none and `resume` is true; or it holds a checkpoint of
            another run; or the checkpoint of the latest step or of the best one is damaged.
    """
    saved = Checkpoints(run)
    steps = saved.steps()
    if not resume and (steps or saved.foreign_steps()):
        raise UserError(f"out='{run.path}' already holds a run: add --resume to continue it, or choose another --out")
    refuse_foreign(run)
    if resume and not steps:
        start = "choose another --out" if is_run(run.path) else "leave --resume out to start a run there"
        message = f"resume=true, but out='{run.path}' holds no checkpoint: {start}, or give the --out of the run to continue"
        raise UserError(message)
    if not steps:
        return None
    try:
        progress = saved.check(steps[-1])
    except UserError as error:
        raise UserError(f"{error}; {_describe_older(saved, steps[:-1], saved.path(steps[-1]))}") from error
    if progress.best_step in steps[:-1]:
        try:
            saved.check(progress.best_step)
        except UserError as error:
            remedy = "restore it, or remove the folder to choose the best weights among the later evaluations only"
            raise UserError(f"{error}; it holds the best weights so far: {remedy}") from error
    return steps[-1]


def _describe_older(saved: Checkpoints, steps: Sequence[int], damaged: Path) -> str:
    """The remedy for a damaged checkpoint: the latest whole one among the older ones."""
    if (step := _latest_whole(saved, steps)) is not None:
        return f"the checkpoint of step {step} is whole: remove '{damaged}' to continue from there"
    return "there is no other whole one: restore it from a copy, or start again with another --out"


def refuse_foreign(run: ModelFolder) -> None:
    """Raise UserError if the folder of a run holds a checkpoint of another run; the message offers the run's own latest."""
    saved = Checkpoints(run)
    steps, foreign = saved.steps(), saved.foreign_steps()
    if not foreign:
        return
    read_history(run)  # says that it is missing
    listed = " and ".join(f"'{saved.path(step)}'" for step in foreign)
    sentence = f"{listed} {'belong' if len(foreign) > 1 else 'belongs'} to another run"
    remedy = f"move {'them' if len(foreign) > 1 else 'it'} elsewhere"
    if (step := _latest_whole(saved, steps)) is not None:
        remedy += f", and --resume continues from '{saved.path(step)}', the latest checkpoint of this run"
    elif not steps:
        sentence += ", and this run has no checkpoint yet"
    raise UserError(f"{sentence}: {remedy}")


def _latest_whole(saved: Checkpoints, steps: Sequence[int]) -> int | None:
    """The latest step of some whose checkpoint is not damaged."""
    for step in reversed(steps):
        try:
            saved.check(step)
        except UserError:
            continue
        return step
    return None


def _write_model(target: Path, save_model: Callable[[Path], None]) -> None:
    with atomic_write(target) as temporary:
        temporary.mkdir()
        save_model(temporary)


def _copy(tensor: Tensor) -> Tensor:
    """A copy in the machine's memory; a `DTensor` stays on its device."""
    tensor = tensor.detach()
    return tensor.clone() if isinstance(tensor, DTensor) else tensor.to("cpu", copy=True)


def _hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in a folder, by relative path."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): sha256_of(file) for file in files}
