"""Opening models from folders and adapters."""

from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, write_json, write_lineage
from lmcraft.language_model import LanguageModel
from lmcraft.model_source import open_adapter, open_model, read_lineage
from lmcraft.tokenizer.train import train_bpe
from tests.tiny import TEXT, tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tiny-Q4_K_M"
    LanguageModel(tiny_model(vocab_size=300), train_bpe([TEXT], vocab_size=300)).save(path)
    return path


def test_a_model_folder_has_a_name_a_license_and_an_origin(folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    with open_model(folder) as source:
        assert (source.name, source.license, source.address) == ("tiny", "apache-2.0", str(folder))
        by_weights = source.fingerprint
        assert source.checkpoint.config().vocab_size == 300 and source.tokenizer.vocab_size == 300
    write_lineage(ModelFolder(folder), source="hf:a/tiny@main", license="mit")
    with open_model(folder) as source:
        assert (source.address, source.license) == ("hf:a/tiny@main", "mit") and source.fingerprint != by_weights


def test_damaged_lineage_and_missing_adapters_are_user_errors(folder: Path) -> None:
    with pytest.raises(UserError, match="is not an adapter"):
        open_adapter(folder)
    write_json(ModelFolder(folder).lineage, [])
    assert read_lineage(folder) == {}
    ModelFolder(folder).lineage.write_text("{")
    with pytest.raises(UserError, match="is damaged: it is not JSON"):
        read_lineage(folder)
