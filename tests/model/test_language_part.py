"""The language model of multimodal checkpoints, and of checkpoints with layers for multi-token prediction."""

import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.model.quantized_matrix import quantize_rows, to_tensors
from lmcraft.model.storage import load_model, save_model
from lmcraft.model.transformer import Transformer

CONFIG = TransformerConfig(
    family="llama",
    vocab_size=20,
    max_position_embeddings=16,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=4,
    intermediate_size=8,
    qk_norm=False,
    tie_word_embeddings=False,
)


@pytest.fixture
def model() -> Transformer:
    torch.manual_seed(0)
    return Transformer(CONFIG)


def _rewrite(
    model: Transformer, folder: Path, names: dict[str, str], more: dict[str, torch.Tensor], **config: object
) -> None:
    """A folder whose tensors have other prefixes and company, and whose config.json is changed."""
    save_model(model, folder, {})
    tensors = load_file(folder / "model.safetensors")
    for old, new in names.items():
        tensors = {name.replace(old, new, 1) if name.startswith(old) else name: x for name, x in tensors.items()}
    save_file(tensors | more, folder / "model.safetensors")
    text = json.loads((folder / "config.json").read_text())
    written = {"text_config": text, **config} if "model_type" in config else text | config
    (folder / "config.json").write_text(json.dumps(written))


@pytest.mark.parametrize(
    "names",
    [
        {"model.": "language_model.model.", "lm_head.": "language_model.lm_head."},
        {"model.": "model.language_model."},
    ],
    ids=["outside", "inside"],
)
def test_language_part_of_a_multimodal_folder(
    model: Transformer, tmp_path: Path, names: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    others = {"model.vision_tower.conv.weight": torch.zeros(2), "multi_modal_projector.bias": torch.zeros(1)}
    _rewrite(model, tmp_path, names, others, model_type="llava", eos_token_id=3)
    with caplog.at_level(logging.WARNING):
        loaded = load_model(tmp_path)
        load_model(tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        f"'{tmp_path}': only the language model is opened; left out: multi_modal_projector (1 tensors), "
        "vision_tower (1 tensors)"
    ]
    assert loaded.config.family == "llama"
    state = loaded.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model."])
@pytest.mark.parametrize(
    "target",
    [
        r"re:.*language_model.*layers\.0\..*",
        r"re:model\.language_model\.layers\.0\..*",
        "model.language_model.layers.0.self_attn.q_proj",
        r"re:.*layers\.0\..*",
    ],
)
def test_groups_of_quantized_matrices_are_found_by_the_names_of_the_whole_model(
    model: Transformer, tmp_path: Path, prefix: str, target: str
) -> None:
    query = quantize_rows(model.layers[0].attention.q_proj.weight)
    weights = {"num_bits": 8, "strategy": "channel"}
    groups = {
        "others": {"targets": ["Linear"], "weights": weights | {"num_bits": 4}},
        "first": {"targets": [target], "weights": weights},
    }
    settings = {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": groups}
    name = f"{prefix}layers.0.self_attn.q_proj.weight"
    _rewrite(model, tmp_path, {"model.": prefix}, {}, model_type="llava", quantization_config=settings)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors[name]
    save_file(tensors | to_tensors(name, query), tmp_path / "model.safetensors")
    loaded = load_model(tmp_path, dtype=torch.float32).layers[0].attention.q_proj
    assert torch.equal(loaded.weight, query.dequantize())


def test_layers_that_predict_further_tokens_are_left_out(
    model: Transformer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    further = {"model.layers.2.eh_proj.weight": torch.zeros(2), "mtp.norm.weight": torch.zeros(1)}
    _rewrite(model, tmp_path, {}, further, num_nextn_predict_layers=1)
    load_model(tmp_path)
    assert "left out: layers for multi-token prediction (2 tensors)" in caplog.text


def test_a_layer_too_many_is_refused(model: Transformer, tmp_path: Path) -> None:
    _rewrite(model, tmp_path, {}, {"model.layers.2.eh_proj.weight": torch.zeros(2)})
    with pytest.raises(UserError, match=r"has 1 tensors that a model of type 'llama' .* does not use"):
        load_model(tmp_path)


@pytest.mark.parametrize("text", [None, [], "", {}, {"model_type": None}, {"model_type": 3}, {"model_type": "gemma9"}])
def test_damaged_settings_are_refused(model: Transformer, tmp_path: Path, text: object) -> None:
    save_model(model, tmp_path, {})
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": text}))
    with pytest.raises(UserError, match=r"config.json"):
        load_model(tmp_path)
