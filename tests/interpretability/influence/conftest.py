"""A run whose steps are followed, and documents, small enough for tests."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lmcraft import PrepareConfig, PretrainConfig, prepare, pretrain
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.interpretability.influence.training_run import TrainingRun
from lmcraft.model.config import InitConfig, TransformerConfig
from lmcraft.training.config import OptimizerConfig
from tests.tiny import tiny_dataset

MakeDocuments = Callable[[Sequence[str]], Documents]
SIZES = TransformerConfig(hidden_size=16, num_attention_heads=2, tie_word_embeddings=False)

RATES = ("learning_rate", "embedding_learning_rate", "head_learning_rate", "scalar_learning_rate")


@pytest.fixture(scope="session")
def run(run_folder: ModelFolder) -> TrainingRun:
    return TrainingRun.open(run_folder)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """The model folder of a run of AdamW, beside its dataset `data`."""
    folder = tmp_path_factory.mktemp("influence")
    config = PretrainConfig(
        tiny_dataset(folder),
        out=folder / "model",
        depth=2,
        model=SIZES,
        init=InitConfig(scheme="xavier_normal", std=1.0, zero_output_projections=False),
        sequence_length=32,
        batch_size=4,
        micro_batch_size=2,
        max_steps=8,
        eval_every=4,
        sample_every=100,
        precision="fp32",
        compile="off",
        optimizer=OptimizerConfig(name="adamw", eps=1e-3, weight_decay=0.1, **dict.fromkeys(RATES, 0.01)),
    )
    return pretrain(config)


@pytest.fixture
def make_documents(tmp_path: Path) -> MakeDocuments:
    """A function that prepares a dataset of these texts, in characters, all for training, with their numbers in order."""

    def make(texts: Sequence[str]) -> Documents:
        source = tmp_path / "texts.jsonl"
        source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        config = PrepareConfig((str(source),), out=tmp_path / "data", tokenizer_type="characters", validation=0.0)
        return Documents(prepare(config))

    return make
