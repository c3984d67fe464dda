"""A run whose steps are followed, small enough for tests."""

import pytest

from lmcraft import PretrainConfig, pretrain
from lmcraft.folder import ModelFolder
from lmcraft.model.config import TransformerConfig
from lmcraft.training.config import OptimizerConfig
from tests.tiny import tiny_dataset

SIZES = TransformerConfig(hidden_size=16, num_attention_heads=2)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """The model folder of a run of AdamW, beside its dataset `data`."""
    folder = tmp_path_factory.mktemp("influence")
    config = PretrainConfig(
        tiny_dataset(folder),
        out=folder / "model",
        depth=2,
        model=SIZES,
        sequence_length=32,
        batch_size=4,
        micro_batch_size=2,
        max_steps=12,
        eval_every=6,
        sample_every=100,
        precision="fp32",
        compile="off",
        optimizer=OptimizerConfig(name="adamw", weight_decay=0.1),
    )
    return pretrain(config)
