"""Checkpoints written in the background."""

import threading
from pathlib import Path

import pytest
import torch

from lmcraft.errors import RunError
from lmcraft.training.checkpoint import Checkpoints, Progress


def blank(name: str, size: torch.Size, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(size, dtype=dtype)


def test_training_continues_while_a_checkpoint_is_written(tmp_path: Path) -> None:
    checkpoints, go_on = Checkpoints(tmp_path), threading.Event()
    state, progress = {"w/momentum": torch.ones(3, 2), "w/step": torch.tensor(5.0)}, Progress(step=7, best_step=7)

    def save_model(folder: Path) -> None:
        assert go_on.wait(timeout=60)
        (folder / "config.json").write_text("{}")

    checkpoints.save(progress, state, save_model)
    assert checkpoints.steps() == []  # absent until it is complete
    state["w/momentum"].zero_()
    progress.step = 8
    go_on.set()
    checkpoints.wait()
    assert checkpoints.steps() == [7]
    progress, loaded = checkpoints.load(7, blank)
    assert progress.step == 7
    assert torch.equal(loaded["w/momentum"], torch.ones(3, 2)) and loaded["w/step"].item() == 5.0


def test_only_the_latest_and_best_checkpoints_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    (tmp_path / ".state-000001").mkdir()  # left by a run that was killed
    for step, best in ((2, 2), (4, 2), (6, 2)):
        checkpoints.save(Progress(step=step, best_step=best), {"w/step": torch.tensor(1.0)}, lambda folder: None)
    checkpoints.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000002", "step-000006"]


def test_a_writing_error_is_raised_by_the_next_save(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(Progress(step=1), {}, lambda folder: None)
    checkpoints.wait()

    def fail(folder: Path) -> None:
        raise OSError("no space left")

    checkpoints.save(Progress(step=2), {"w/step": torch.tensor(1.0)}, fail)
    with pytest.raises(RunError, match=r"no space left.*checkpoint of step 1 is intact"):
        checkpoints.save(Progress(step=3), {}, lambda folder: None)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]
