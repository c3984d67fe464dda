"""Families of the parity suite that llama.cpp has: written, opened again, with the same logits; or one clear sentence."""

from pathlib import Path

import pytest
import torch

from lmcraft.errors import UserError

pytest.importorskip("transformers")
pytest.importorskip("gguf")

from lmcraft.gguf import GGUFModel, read_gguf
from lmcraft.gguf.container import GGUFFile
from lmcraft.gguf.metadata import Metadata
from lmcraft.model.storage import build_model
from tests.gguf.family_files import NAMES, READ_AS, REFUSED, ours, write
from tests.gguf.test_models import ids
from tests.parity.cases import assert_close


@pytest.mark.parametrize("name", [name for name in NAMES if name not in REFUSED])
@torch.inference_mode()
def test_files_round_trip(name: str, tmp_path: Path) -> None:
    model = ours(name, tmp_path)
    file = read_gguf(write(model, tmp_path / "model.gguf"))
    again = build_model(file.checkpoint)
    tokens = ids(72)
    assert_close(again(tokens), model(tokens), 2e-6)
    assert again.config.family == READ_AS.get(name, model.config.family)


@pytest.mark.parametrize("name", ["qwen3_5_text", "deepseek_v3", "lfm2", "granitemoehybrid"])
def test_any_value_of_the_metadata_is_handled(name: str, tmp_path: Path) -> None:
    """Each is rejected in one line, or harmless."""
    path = write(ours(name, tmp_path), tmp_path / "model.gguf")
    metadata = GGUFFile(path).metadata
    for key in metadata:
        for value in (None, 1, 3, 2**16, "x") if not key.startswith(("tokenizer.", "general.")) else ():
            file = GGUFFile(path)
            file.metadata = Metadata(path, {k: v for k, v in {**metadata, key: value}.items() if v is not None})
            try:
                build_model(GGUFModel(file).checkpoint)
            except UserError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize("name", [name for name in NAMES if name in REFUSED])
def test_what_llama_cpp_cannot_express_is_refused(name: str, tmp_path: Path) -> None:
    model = ours(name, tmp_path)
    with pytest.raises(UserError, match=REFUSED[name]) as error:
        write(model, tmp_path / "model.gguf")
    assert "\n" not in str(error.value) and not (tmp_path / "model.gguf").exists()
