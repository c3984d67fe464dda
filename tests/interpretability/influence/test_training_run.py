"""The steps of a run, read from its folder."""

import shutil
from pathlib import Path

import pytest
import torch

from lmcraft.data.document_numbers import NO_DOCUMENT
from lmcraft.data.loader import IGNORE_INDEX, TokenSplit
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.influence.training_run import TrainingRun
from lmcraft.machine import Machine
from lmcraft.pretraining.run import PretrainingRun
from lmcraft.training.gradients import BatchGradients
from lmcraft.training.schedule import learning_rate_factor

MACHINE = Machine(torch.device("cpu"), torch.float32, 1e12, "")


def copy_of(folder: ModelFolder, target: Path) -> ModelFolder:
    """A copy of a model with its data beside it."""
    shutil.copytree(folder.path.parent / "data", target / "data")
    shutil.copytree(folder.path, target / "model")
    return ModelFolder(target / "model")


def test_a_step_has_the_rows_that_the_training_loop_read(run: TrainingRun) -> None:
    trainer = PretrainingRun.open(run.config, MACHINE, run.folder).build_trainer()
    trainer.gradients(0)
    assert isinstance(trainer.source, BatchGradients)
    parts = trainer.source.read(5)
    batch = run.batch(5)
    assert torch.equal(batch.input_ids, torch.cat([torch.from_numpy(part.input_ids) for part in parts]))
    assert torch.equal(batch.targets, torch.cat([torch.from_numpy(part.targets) for part in parts]))


def test_each_target_is_a_token_of_its_document(run: TrainingRun) -> None:
    split = TokenSplit(run.dataset, "train")
    starts = [*split.document_starts(0, len(split)).tolist(), len(split)]
    assert run.document_count == len(starts) - 1
    seen = set[int]()
    for step in range(run.steps):
        batch = run.batch(step)
        assert torch.equal(batch.documents == NO_DOCUMENT, batch.targets == IGNORE_INDEX)
        for targets, documents in zip(batch.targets, batch.documents, strict=True):
            for number in documents.unique().tolist():
                if number == NO_DOCUMENT:
                    continue
                part = targets[documents == number].tolist()
                text = split.slice(starts[number], starts[number + 1]).tolist()
                assert any(part == text[first : first + len(part)] for first in range(len(text)))
                seen.add(number)
    assert len(seen) > 10


def test_rates_and_initial_weights_are_those_of_the_run(run: TrainingRun) -> None:
    config = run.config
    for step in range(run.steps):
        expected = learning_rate_factor(config.schedule, step, config.max_steps)
        assert run.learning_rate_factor(step) == pytest.approx(expected, rel=1e-12)
    trainer = PretrainingRun.open(config, MACHINE, run.folder).build_trainer()
    initial = run.initial_model().state_dict()
    assert all(torch.equal(initial[name], value) for name, value in trainer.model.state_dict().items())
    assert trainer.gradients(0)[0] == pytest.approx(run.losses[0], rel=1e-5)


def test_a_moved_run_finds_its_data_beside_it(run_folder: ModelFolder, tmp_path: Path) -> None:
    moved = copy_of(run_folder, tmp_path)
    assert TrainingRun.open(moved).dataset.path.samefile(tmp_path / "data")
    assert TrainingRun.open(moved, run_folder.path.parent / "data").steps == 8


def test_changed_and_missing_data_are_refused(run_folder: ModelFolder, tmp_path: Path) -> None:
    moved = copy_of(run_folder, tmp_path)
    shard = tmp_path / "data" / "train-00000.npy"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\1")
    with pytest.raises(UserError, match="has changed since the dataset was prepared"):
        TrainingRun.open(moved)
    with pytest.raises(UserError, match="does not exist"):
        TrainingRun.open(moved, tmp_path / "nowhere")


def test_what_is_no_run_of_pretraining_is_refused(run_folder: ModelFolder, tmp_path: Path) -> None:
    moved = copy_of(run_folder, tmp_path)
    moved.metrics.write_text("")
    with pytest.raises(UserError, match="has no row of step 1"):
        TrainingRun.open(moved)
    text = moved.config_toml.read_text()
    moved.config_toml.write_text(text.replace("residual_dropout = 0.0", "residual_dropout = 0.1"))
    with pytest.raises(UserError, match="residual_dropout"):
        TrainingRun.open(moved)
    shutil.rmtree(moved.run)
    with pytest.raises(UserError, match="known only of models that `lmcraft pretrain` made"):
        TrainingRun.open(moved)
    with pytest.raises(UserError, match="not a model"):
        TrainingRun.open(ModelFolder(tmp_path / "data"))
