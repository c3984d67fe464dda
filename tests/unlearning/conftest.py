"""A run whose documents are forgotten, small enough for tests."""

import pytest

from lmcraft import PretrainConfig, pretrain
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.interpretability.influence.training_run import TrainingRun
from lmcraft.model.config import TransformerConfig
from lmcraft.unlearning.selection import first_steps
from tests.tiny import tiny_dataset


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """The model folder of a run, beside its dataset `data`."""
    folder = tmp_path_factory.mktemp("unlearning")
    config = PretrainConfig(
        tiny_dataset(folder),
        out=folder / "model",
        depth=2,
        model=TransformerConfig(hidden_size=16, num_attention_heads=2, residual_dropout=0.1),
        sequence_length=32,
        batch_size=4,
        micro_batch_size=4,
        max_steps=12,
        eval_every=6,
        sample_every=100,
        precision="fp32",
        compile="off",
    )
    return pretrain(config)


@pytest.fixture(scope="session")
def documents(run_folder: ModelFolder) -> Documents:
    return Documents(run_folder.path.parent / "data")


@pytest.fixture(scope="session")
def forgotten(run_folder: ModelFolder, documents: Documents) -> tuple[int, ...]:
    """Two documents that the run read."""
    read = first_steps(TrainingRun.open(run_folder, allow_dropout=True), range(len(documents)))
    return tuple(sorted(read)[:2])
