"""Family tables: choosing a family, unsupported values, stacked and per-head weights."""

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.model.families import FAMILIES, family_for, family_of
from tests.tiny import tiny_config, tiny_model


def test_a_configuration_is_saved_as_the_family_it_names_if_that_can_express_it() -> None:
    llama = tiny_config(qk_norm=False)
    assert family_for(llama).model_type == "llama"
    assert family_for(tiny_config(qk_norm=False, family="mistral")).model_type == "mistral"
    assert family_for(tiny_config(family="gpt2")).model_type == "qwen3"
    assert FAMILIES["gpt2"].inexpressible_settings(llama) and not FAMILIES["llama"].inexpressible_settings(llama)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "relu"}, "hidden_act='relu' is not supported; supported: 'silu', 'swish'"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "rotary scaling type 'dynamic' is not supported"),
        ({"head_dim": None, "num_attention_heads": 0}, "config.json is damaged"),
        (
            {"model_type": "llamas"},
            "'llamas' is not supported; docs/families.md lists those that are, and docs/add-a-family.md shows",
        ),
    ],
)
def test_unsupported_values_are_errors(changes: dict[str, object], message: str) -> None:
    hf_config = FAMILIES["llama"].write_config(tiny_config(qk_norm=False)) | changes
    with pytest.raises(UserError, match=message):
        family_of(hf_config).read_config(hf_config)


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "phi3", "lmcraft"])
def test_weights_round_trip_through_stacked_layouts(name: str) -> None:
    settings = {"position": "learned", "norm": "layernorm", "attention_bias": "all", "mlp_bias": True}
    settings |= {"qk_norm": False, "num_key_value_heads": 4, "feed_forward": "gelu_tanh"}
    neox = settings | {"position": "rotary", "parallel_residual": True, "tie_word_embeddings": False}
    model = tiny_model(**{"gpt2": settings, "gpt_neox": neox, "phi3": {"qk_norm": False}}.get(name, {}))
    family, state = FAMILIES[name], model.state_dict()
    stored = family.to_hf(model.config, state)
    shapes = {key: tensor.shape for key, tensor in state.items()}
    restored = dict(family.from_hf(model.config, stored.get, shapes))
    assert restored.keys() == state.keys()
    assert all(torch.equal(restored[key], state[key]) for key in state)
    names = [ours for _, parts in family.stacks(model.config) for ours in parts]
    assert sorted(names) == sorted(state)
