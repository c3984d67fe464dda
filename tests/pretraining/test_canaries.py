"""Runs with canaries in their data."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lmcraft import PretrainConfig, pretrain
from lmcraft.data.canaries import Canaries, CanaryRows
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.influence.training_run import TrainingRun
from lmcraft.json_lines import read_json_lines
from lmcraft.model.config import TransformerConfig
from lmcraft.pretraining.run_data import RunData
from tests.tiny import tiny_dataset

SIZES = TransformerConfig(hidden_size=16, num_attention_heads=2)
SETTINGS = {"depth": 1, "sequence_length": 32, "batch_size": 8, "precision": "fp32", "eval_every": 4, "canaries": 10}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("canaries"))


def losses(folder: ModelFolder) -> list[float]:
    return [row["loss"] for row in read_json_lines(folder.metrics) if "loss" in row]


def test_a_run_writes_its_canaries_and_resumes_with_them(data: Path, tmp_path: Path) -> None:
    config = PretrainConfig(data, out=tmp_path / "model", model=SIZES, max_steps=8, pause_at=4, **SETTINGS)
    folder = pretrain(config)
    canaries = Canaries.read(folder.canaries)
    assert canaries is not None and len(canaries.items) == 10
    resolved = PretrainConfig.from_toml(folder.config_toml)
    rows = RunData.open(resolved).training_rows(resolved)
    assert isinstance(rows, CanaryRows) and rows.canaries == canaries
    pretrain(replace(config, pause_at=0, resume=True))
    assert Canaries.read(folder.canaries) == canaries
    whole = pretrain(replace(config, pause_at=0, out=tmp_path / "whole"))
    assert losses(folder) == losses(whole)
    with pytest.raises(UserError, match="canaries"):
        pretrain(replace(config, pause_at=0, max_steps=9, resume=True, canaries=4))


def test_the_run_can_be_read_again_wherever_its_folder_is(data: Path, tmp_path: Path) -> None:
    folder = pretrain(PretrainConfig(data, out=tmp_path / "model", model=SIZES, max_steps=4, **SETTINGS))
    moved = ModelFolder(folder.path.rename(tmp_path / "moved"))
    run = TrainingRun.open(moved)
    config = replace(run.config, out=moved.path)
    rows = RunData.open(config).training_rows(config).batch(range(8))
    assert torch.equal(run.batch(0).input_ids, torch.from_numpy(rows.input_ids))
