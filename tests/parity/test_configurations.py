"""Configurations and folders: older keys, bfloat16, what is saved as which family, damaged folders."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.folder import write_json
from lmcraft.model.families import FAMILIES, family_for, family_of
from lmcraft.model.storage import load_model, save_model
from tests.parity.cases import NO_TOKENS, configuration, saved, theirs
from tests.parity.cases.case import LLAMA3
from tests.tiny import tiny_config, tiny_model

transformers = pytest.importorskip("transformers")


def test_keys_of_earlier_releases_are_read() -> None:
    for name, older in {
        "llama-3.1": {
            "rope_theta": 100.0,
            "rope_scaling": {k: v for k, v in LLAMA3["rope_parameters"].items() if k != "rope_theta"},
        },
        "gemma3-scaled": {
            "rope_theta": 1e6,
            "rope_local_base_freq": 1e4,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "sliding_window_pattern": 6,
        },
        "phi3-longrope": {
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.75,
            "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.1, 1.2], "long_factor": [1.5, 2.5, 4.0]},
        },
        "gpt_neox": {"rotary_emb_base": 10000, "rotary_pct": 0.25},
    }.items():
        new = configuration(name).to_dict()
        gone = ("rope_parameters", "layer_types")
        old = {key: value for key, value in new.items() if key not in gone} | older
        assert family_of(old).read_config(old) == family_of(new).read_config(new), name


@pytest.mark.parametrize("name", ["gpt2", "gemma3", "phi3", "gpt_neox", "qwen3_moe"])
def test_a_round_trip_in_bfloat16_is_bit_identical(name: str, tmp_path: Path) -> None:
    first = load_model(saved(theirs(name), tmp_path / "0"), dtype=torch.bfloat16)
    save_model(first, tmp_path / "1", NO_TOKENS)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "1")
    assert again.dtype == torch.bfloat16
    last = load_model(saved(again, tmp_path / "2"))
    assert last.config == first.config
    for (key, before), after in zip(first.state_dict().items(), last.state_dict().values(), strict=True):
        assert after.dtype == torch.bfloat16 and torch.equal(before, after), key


@pytest.mark.parametrize(
    ("settings", "family"),
    [
        ({}, "qwen3"),
        ({"residual_dropout": 0.1}, "qwen3"),
        ({"feed_forward": "relu2"}, "lmcraft"),
        (
            {"norm": "layernorm", "position": "learned", "feed_forward": "gelu_tanh", "qk_norm": False}
            | {"attention_bias": "all", "mlp_bias": True, "num_key_value_heads": 4},
            "gpt2",
        ),
    ],
)
def test_every_configuration_round_trips(settings: dict[str, Any], family: str, tmp_path: Path) -> None:
    model = tiny_model(**settings)
    assert family_for(model.config).model_type == family
    save_model(model, tmp_path, {})
    loaded = load_model(tmp_path)
    ids = torch.randint(0, 96, (1, 20))
    assert torch.equal(loaded(ids), model(ids))
    assert (
        FAMILIES[family].inexpressible_settings(loaded.config) == []
        and loaded.config.residual_dropout == model.config.residual_dropout
    )


def test_damaged_folders_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        load_model(tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "qwen9"})
    with pytest.raises(UserError, match=r"'qwen9' is not supported; docs/families\.md lists"):
        load_model(tmp_path)
    for classes, remedy in ((["Qwen3ForCausalLM"], 'add "qwen3"'), (["X"], "get the complete file"), (None, "get the")):
        write_json(tmp_path / "config.json", {"architectures": classes})
        with pytest.raises(UserError, match=f"model_type is missing, so the kind of model is unknown: {remedy}"):
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
