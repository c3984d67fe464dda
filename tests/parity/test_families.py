"""Each family against transformers, on tiny random models: its folder opens here, ours opens there, the logits agree."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.folder import write_json
from lmcraft.model.families import FAMILIES, family_for
from lmcraft.model.storage import load_model, save_model
from tests.tiny import tiny_config, tiny_model

transformers = pytest.importorskip("transformers")

GPT2: dict[str, Any] = {"vocab_size": 99, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64, "eos_token_id": 0}
QWEN3: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 50,
    "max_position_embeddings": 64,
}
CASES: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2)),
    "gpt2-untied-gelu": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(**GPT2, tie_word_embeddings=False, activation_function="gelu", n_inner=40)
    ),
    "gpt2-relu2": lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2, activation_function="relu2")),
    "qwen3": lambda: transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**QWEN3)),
    "qwen3-tied-bias": lambda: transformers.Qwen3ForCausalLM(
        transformers.Qwen3Config(**QWEN3, tie_word_embeddings=True, attention_bias=True, rope_theta=5000.0)
    ),
}


def theirs(name: str) -> Any:
    torch.manual_seed(0)
    model = CASES[name]().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.mark.parametrize("name", CASES)
def test_logits_agree_both_ways(name: str, tmp_path: Path) -> None:
    model = theirs(name)
    model.save_pretrained(tmp_path / "theirs")
    ours = load_model(tmp_path / "theirs")
    ids = torch.randint(0, 99, (2, 40))
    torch.testing.assert_close(ours(ids), model(ids).logits, atol=1e-5, rtol=1e-5)
    save_model(ours, tmp_path / "ours", {"eos_token_id": 0})
    back = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    assert type(back) is type(model)
    for (key, before), after in zip(model.state_dict().items(), back.state_dict().values(), strict=True):
        assert torch.equal(before, after), key


def test_gradients_agree(tmp_path: Path) -> None:
    model = theirs("qwen3")
    model.save_pretrained(tmp_path)
    ours, ids = load_model(tmp_path), torch.randint(0, 99, (2, 40))
    model(ids, labels=ids).loss.backward()
    logits = ours(ids)[:, :-1]
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
    mine, other = ours.layers[0].attention.q_proj.weight.grad, model.model.layers[0].self_attn.q_proj.weight.grad
    torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "family"),
    [
        ({}, "qwen3"),
        ({"residual_dropout": 0.1}, "qwen3"),
        ({"feed_forward": "relu2"}, "lmcraft"),
        (
            {"norm": "layernorm", "position": "learned", "feed_forward": "gelu_tanh", "qk_norm": False}
            | {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 4},
            "gpt2",
        ),
    ],
)
def test_every_configuration_survives_its_folder(settings: dict[str, Any], family: str, tmp_path: Path) -> None:
    model = tiny_model(**settings)
    assert family_for(model.config).model_type == family
    save_model(model, tmp_path, {})
    loaded = load_model(tmp_path)
    ids = torch.randint(0, 96, (1, 20))
    assert torch.equal(loaded(ids), model(ids))
    assert FAMILIES[family].misfits(loaded.config) == [] and loaded.config.residual_dropout == model.config.residual_dropout


def test_what_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        load_model(tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "qwen9"})
    with pytest.raises(UserError, match="nearest name is 'qwen3'"):
        load_model(tmp_path)
    write_json(tmp_path / "config.json", FAMILIES["qwen3"].write_config(tiny_config()))
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match="pickled"):
        load_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        load_model(tmp_path)
    save_model(tiny_model(num_hidden_layers=1), tmp_path / "small", {})
    (tmp_path / "small" / "model.safetensors").replace(tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"no tensor 'model\.layers\.1"):
        load_model(tmp_path)
