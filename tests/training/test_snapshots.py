"""Snapshots: when they are due, and that a run keeps them."""

from pathlib import Path

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.training.config import TrainConfig
from lmcraft.training.snapshots import snapshot_steps
from tests.training.test_loop import build


@pytest.mark.parametrize("count", [2, 3, 7, 20, 100])
@pytest.mark.parametrize("max_steps", [1, 2, 9, 50, 3000])
def test_steps_begin_at_0_end_at_the_last_and_are_all_different(count: int, max_steps: int) -> None:
    steps = snapshot_steps(count, max_steps)
    assert len(steps) == min(count, max_steps + 1)
    assert min(steps) == 0 and max(steps) == max_steps


def test_later_snapshots_are_as_far_apart_as_their_step_is_late() -> None:
    steps = sorted(snapshot_steps(16, 10_000))
    assert steps[:3] == [0, 1, 2] and steps[-2] == pytest.approx(5000, rel=0.1)


def test_a_run_keeps_its_snapshots_beside_two_checkpoints(tmp_path: Path) -> None:
    trainer = build(tmp_path, snapshots=4)
    initial = trainer.model.embed_tokens.weight.detach().clone()
    trainer.run()
    folder = ModelFolder(tmp_path)
    assert sorted(path.name for path in folder.snapshots.iterdir()) == [
        "step-000000",
        "step-000001",
        "step-000002",
        "step-000006",
    ]
    weights = [torch.load(folder.snapshots / f"step-{step:06d}/weights.pt")["embed_tokens.weight"] for step in (0, 1, 6)]
    assert torch.equal(weights[0], initial) and not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[2], trainer.model.embed_tokens.weight)
    assert len(trainer.checkpoints.steps()) <= 2


def test_a_resumed_run_keeps_those_of_its_other_steps(tmp_path: Path) -> None:
    build(tmp_path, snapshots=7, pause_at=3).run()
    resumed = build(tmp_path, snapshots=7)
    resumed.model.load_state_dict(torch.load(resumed.checkpoints.path(3) / "weights.pt"))
    resumed.restore(3)
    resumed.run()
    build(whole := tmp_path / "whole", snapshots=7).run()
    for step in range(7):
        name = f"step-{step:06d}/weights.pt"
        states = [torch.load(ModelFolder(folder).snapshots / name) for folder in (tmp_path, whole)]
        assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


@pytest.mark.parametrize("count", [-1, 1])
def test_a_number_that_is_no_series_is_refused(count: int) -> None:
    with pytest.raises(UserError, match=f"snapshots={count} is out of range"):
        TrainConfig(snapshots=count).check_end()
