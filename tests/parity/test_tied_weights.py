"""Output projections that config.json ties to the embedding, against transformers: the tensors of the file decide."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lmcraft.conversion.config import ExportConfig
from lmcraft.conversion.model_description import describe_model
from lmcraft.conversion.model_export import export_model
from lmcraft.errors import UserError
from lmcraft.language_model import LanguageModel
from lmcraft.model.storage import load_model, save_model
from tests.finetuning.chat import chat_model, chat_tokenizer
from tests.parity.cases import assert_close, theirs

transformers = pytest.importorskip("transformers")

# The tensors of the embedding and of the output projection.
NAMES = {
    "llama-3.1": ("model.embed_tokens.weight", "lm_head.weight"),
    "gpt2": ("transformer.wte.weight", "lm_head.weight"),
    "gemma3": ("model.embed_tokens.weight", "lm_head.weight"),
    "olmo2-tied-bias": ("model.embed_tokens.weight", "lm_head.weight"),
}
IDS = torch.arange(1, 41)[None]


def change_tensors(folder: Path, added: Mapping[str, Tensor], removed: str = "") -> None:
    file = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in (load_file(file) | dict(added)).items() if name != removed}
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_an_output_projection_of_its_own_is_used(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, output = theirs(name), NAMES[name][1]
    model.save_pretrained(tmp_path)
    change_tensors(tmp_path, {output: torch.randn(99, 32)})
    expected = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)(IDS).logits
    ours = load_model(tmp_path)
    assert not ours.config.tie_word_embeddings and f"'{output}' differs from it and is used" in caplog.text
    assert_close(ours(IDS), expected, 1e-5)
    assert not torch.allclose(expected, model(IDS).logits, atol=1.0)
    save_model(ours, tmp_path / "again", {})
    back = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "again")
    assert_close(back(IDS).logits, expected, 1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_moved", [False, True])
@torch.inference_mode()
def test_one_tensor_or_two_equal_ones_stay_tied(
    name: str, is_moved: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, (embedding, output) = theirs(name), NAMES[name]
    model.save_pretrained(tmp_path)
    weight = load_file(tmp_path / "model.safetensors")[embedding]
    change_tensors(tmp_path, {output: weight}, removed=embedding if is_moved else "")
    expected = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)(IDS).logits
    ours = load_model(tmp_path)
    assert ours.config.tie_word_embeddings and not caplog.text
    assert_close(ours(IDS), expected, 1e-5)
    assert_close(expected, model(IDS).logits, 1e-5)


def test_tensors_of_another_shape_and_missing_ones_are_refused(tmp_path: Path) -> None:
    theirs("llama-3.1").save_pretrained(tmp_path)
    change_tensors(tmp_path, {"lm_head.weight": torch.ones(3)})
    with pytest.raises(UserError, match=r"'lm_head.weight' has shape \(3,\), but config.json implies \(99, 32\)"):
        load_model(tmp_path)
    change_tensors(tmp_path, {}, removed="lm_head.weight")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    with pytest.raises(UserError, match=r"has no tensor 'lm_head.weight'; it is not a complete llama model"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["out", "out.gguf"])
def test_the_description_and_exports_have_the_output_projection(name: str, tmp_path: Path) -> None:
    LanguageModel(chat_model(), chat_tokenizer()).save(tmp_path / "model")
    embedding = load_file(tmp_path / "model" / "model.safetensors")["model.embed_tokens.weight"]
    change_tensors(tmp_path / "model", {"lm_head.weight": embedding + 0.5 * torch.randn_like(embedding)})
    original = LanguageModel.load(tmp_path / "model", dtype=torch.float32)
    assert describe_model(tmp_path / "model")["parameters"]["output projection"] == embedding.numel()
    export_model(ExportConfig(str(tmp_path / "model"), out=tmp_path / name, dtype="float32"))
    exported = LanguageModel.load(tmp_path / name, dtype=torch.float32)
    assert torch.equal(exported.transformer.output_head.weight, original.transformer.output_head.weight)
