"""Families with the experts of a layer in one tensor."""

from pathlib import Path

import pytest
import torch

from lmcraft.conversion.quantization import quantize_model
from lmcraft.errors import UserError
from lmcraft.finetuning.config import MethodConfig
from lmcraft.finetuning.lora import adapted_layers, add_adapters
from lmcraft.folder import read_json, write_json
from lmcraft.model.families import FAMILIES
from lmcraft.model.storage import load_model, save_model
from lmcraft.model.transformer import Transformer

GPT_OSS = {"vocab_size": 90, "hidden_size": 32, "intermediate_size": 20, "num_hidden_layers": 2, "num_local_experts": 4}
GPT_OSS |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "num_experts_per_tok": 2}


@pytest.fixture
def model() -> Transformer:
    torch.manual_seed(0)
    return Transformer(FAMILIES["gpt_oss"].read_config({"max_position_embeddings": 64, "sliding_window": 8, **GPT_OSS}))


def test_a_folder_round_trips_and_more_experts_than_it_can_have_are_refused(model: Transformer, tmp_path: Path) -> None:
    save_model(model, tmp_path, {})
    again = load_model(tmp_path)
    for (key, before), after in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(before, after), key
    written = read_json(tmp_path / "config.json")
    write_json(tmp_path / "config.json", {**written, "num_local_experts": 5})
    with pytest.raises(UserError, match="has shape"):
        load_model(tmp_path)
    write_json(tmp_path / "config.json", {**written, "num_local_experts": 10**8})
    with pytest.raises(UserError, match="too few for"):
        load_model(tmp_path)


def test_adapters_leave_experts_alone(model: Transformer) -> None:
    with pytest.raises(UserError, match="for which PEFT's format has no adapter"):
        add_adapters(model, MethodConfig(target_modules=("up_proj", "gate_proj", "down_proj")))
    add_adapters(model, MethodConfig())
    assert adapted_layers(model) and not adapted_layers(model.layers[0].get_submodule("feed_forward.experts"))


def test_a_quantized_model_stores_its_experts_as_they_are(model: Transformer, tmp_path: Path) -> None:
    quantize_model(model, 8, torch.empty(0, dtype=torch.long))
    save_model(model, tmp_path, {})
    again = load_model(tmp_path, dtype=torch.float32)
    for (key, before), after in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(before, after), key


def test_a_divisor_of_zero_or_infinity_is_refused() -> None:
    for scaling in (0, float("inf"), float("nan")):
        with pytest.raises(UserError, match=r"logits_scaling=.* must be a number other than 0"):
            FAMILIES["granitemoe"].read_config({"logits_scaling": scaling})
