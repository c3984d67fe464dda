"""Model folders: shards, dtypes and untrusted files."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lmcraft.errors import UserError
from lmcraft.model.storage import load_model, open_checkpoint, save_model, weight_files
from tests.tiny import tiny_model


def test_a_sharded_model_is_the_same_model(tmp_path: Path) -> None:
    model, ids = tiny_model(), torch.randint(0, 96, (1, 9))
    save_model(model, tmp_path, {"eos_token_id": 3}, max_shard_size=20_000)
    assert len(weight_files(tmp_path)) > 2
    assert torch.equal(load_model(tmp_path)(ids), model(ids))
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.hf_config["eos_token_id"] == 3 and checkpoint.hf_config["dtype"] == "float32"
    assert load_model(tmp_path, dtype=torch.bfloat16).compute_dtype == torch.bfloat16


def add_tensor(folder: Path, name: str, tensor: torch.Tensor) -> None:
    save_file(load_file(folder / "model.safetensors") | {name: tensor}, folder / "model.safetensors")


@pytest.mark.parametrize(
    "name", ["model.layers.0.self_attn.q_proj.bias", "model.layers.1.self_attn.sinks", "model.layers.2.mlp.up_proj.weight"]
)
def test_a_tensor_that_nothing_uses_is_named(name: str, tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path, {})
    add_tensor(tmp_path, name, torch.ones(3))
    with pytest.raises(UserError, match=rf"has 1 tensors that a model of type 'qwen3' .* such as '{re.escape(name)}'"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["model.layers.0.self_attn.rotary_emb.inv_freq", "score.weight"])
def test_buffers_and_heads_change_nothing(name: str, tmp_path: Path) -> None:
    model, ids = tiny_model(), torch.randint(0, 96, (1, 9))
    save_model(model, tmp_path, {})
    add_tensor(tmp_path, name, torch.ones(3))
    assert torch.equal(load_model(tmp_path)(ids), model(ids))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 10**7}, "num_hidden_layers=10000000 is too large; the maximum is 4096"),
        ({"max_position_embeddings": 0}, "max_position_embeddings=0 must be at least 1: set it"),
        ({"hidden_act": "tanh"}, "hidden_act='tanh' is not supported"),
        ({"head_dim": "wide"}, "is damaged: it does not describe a qwen3 model|head_dim='wide' is invalid"),
    ],
)
def test_an_error_in_config_json_names_the_file_and_its_key(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    save_model(tiny_model(), tmp_path, {})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"layer_types": None} | changes))
    with pytest.raises(UserError, match=f"^'{re.escape(str(tmp_path))}/config.json'(: | )({message})"):
        load_model(tmp_path)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_weights_of_other_types_are_rejected(dtype: torch.dtype, tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path, {})
    add_tensor(tmp_path, "model.norm.weight", torch.ones(32).to(dtype))
    with pytest.raises(UserError, match=r"norm.weight' has the data type .* is not supported"):
        load_model(tmp_path)


def test_numbers_of_8_bits_need_a_quantization_config(tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path, {})
    add_tensor(tmp_path, "lm_head.weight", torch.ones(96, 32).to(torch.float8_e4m3fn))  # compared with the embedding
    with pytest.raises(UserError, match=r"lm_head.weight' has the data type float8_e4m3fn, but config.json has no quant"):
        load_model(tmp_path)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn, "float16"])
def test_a_model_opens_in_a_floating_point_type_only(dtype: Any, tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path, {})
    with pytest.raises(UserError, match=r"^dtype=.* is not supported: use torch.float32, torch.float16"):
        load_model(tmp_path, dtype=dtype)


def test_an_index_that_leads_out_of_the_folder_is_rejected(tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path, {})
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../a.safetensors"}}))
    with pytest.raises(UserError, match="names a file outside its folder; it is damaged or malicious"):
        load_model(tmp_path)


def test_a_configuration_with_more_layers_than_tensors_is_rejected_before_anything_is_built(tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path, {})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 4096, "layer_types": None}))
    with pytest.raises(UserError, match="too few for num_hidden_layers=4096"):
        load_model(tmp_path)
