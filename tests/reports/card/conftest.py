"""A saved model whose card is written."""

from pathlib import Path

import pytest

from lmcraft.folder import ModelFolder
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer import train_characters
from tests.tiny import TEXT, tiny_model


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card") / "model"
    tokenizer = train_characters(
        [TEXT, "Once upon a time <|system|>\n<|user|>\n<|assistant|>\n"], special_tokens=["<|endoftext|>"]
    )
    LanguageModel(tiny_model(vocab_size=tokenizer.vocab_size, max_position_embeddings=256), tokenizer).save(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> ModelFolder:
    model = ModelFolder(tmp_path / "model")
    model.run.mkdir(parents=True)
    for file in saved.iterdir():
        (model.path / file.name).write_bytes(file.read_bytes())
    return model
