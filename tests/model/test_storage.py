"""Model folders: shards, dtypes and untrusted files."""

import json
from pathlib import Path

import pytest
import torch

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


def test_an_index_that_leads_out_of_the_folder_is_rejected(tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path, {})
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../a.safetensors"}}))
    with pytest.raises(UserError, match="names a file outside its folder; it is damaged or malicious"):
        load_model(tmp_path)


def test_a_configuration_with_more_layers_than_tensors_is_rejected_before_anything_is_built(tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path, {})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 10**8, "layer_types": None}))
    with pytest.raises(UserError, match="too few for num_hidden_layers=100000000"):
        load_model(tmp_path)
