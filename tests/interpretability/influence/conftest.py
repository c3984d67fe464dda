"""A run whose steps are followed, and documents, small enough for tests."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lmcraft import PrepareConfig, PretrainConfig, prepare, pretrain
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.model.config import TransformerConfig
from lmcraft.training.config import OptimizerConfig
from tests.tiny import tiny_dataset

MakeDocuments = Callable[[Sequence[str]], Documents]
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


@pytest.fixture
def make_documents(tmp_path: Path) -> MakeDocuments:
    """A function that prepares a dataset of these texts, in characters, all for training, with their numbers in order."""

    def make(texts: Sequence[str]) -> Documents:
        source = tmp_path / "texts.jsonl"
        source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        config = PrepareConfig((str(source),), out=tmp_path / "data", tokenizer_type="characters", validation=0.0)
        return Documents(prepare(config))

    return make
