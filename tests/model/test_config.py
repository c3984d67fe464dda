"""Model configuration: invalid values name the setting."""

import pytest

from lmcraft.errors import UserError
from lmcraft.model.families import FAMILIES
from lmcraft.model.parts import RopeScaling, SharedExpert
from lmcraft.model.transformer import Transformer
from tests.tiny import tiny_config


@pytest.mark.parametrize(
    "settings",
    [{"hidden_size": 0}, {"num_key_value_heads": 3}, {"head_dim": 7}, {"residual_dropout": 1.0}, {"norm_eps": -1.0}],
)
def test_a_config_that_cannot_be_built_names_the_setting(settings: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"model.{next(iter(settings))}"):
        Transformer(tiny_config(**settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_size": "32"}, "hidden_size='32' is invalid; it must be of type int"),
        ({"norm": "batchnorm"}, "model.norm='batchnorm' is invalid"),
        ({"vocab_size": 2**29}, "vocab_size=536870912 is too large"),
        ({"layer_types": ("full_attention",)}, "model.layer_types has 1 entries"),
        ({"sliding_window": -1}, "use 0 for full attention"),
        ({"rope_scaling": RopeScaling(rope_type="linear", factor=0.5)}, r"rope_scaling.factor=0.5 must be at least 1"),
        (
            {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
            | {"shared_expert": SharedExpert(intermediate_size=-1)},
            "shared_expert.intermediate_size=-1 must not be negative",
        ),
        ({"num_experts": 4, "num_experts_per_tok": 5}, "num_experts_per_tok=5 must be from 1 to model.num_experts=4"),
    ],
)
def test_each_check_names_value_and_remedy(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tiny_config(**settings).check()


def test_layers_slide_and_have_experts_as_configured() -> None:
    config = tiny_config(sliding_window=4, layer_types=("full_attention", "sliding_attention"))
    assert [config.is_sliding(layer) for layer in range(2)] == [False, True]
    experts = tiny_config(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8, mlp_only_layers=(0,))
    assert [experts.has_experts(layer) for layer in range(2)] == [False, True]


@pytest.mark.parametrize("name", ["num_hidden_layers", "moe_intermediate_size", "num_experts", "sliding_window"])
def test_a_size_is_checked_before_anything_is_built_from_it(name: str) -> None:
    family = FAMILIES["qwen3_moe"]
    hf_config = family.write_config(tiny_config(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8))
    hf_config |= {"use_sliding_window": True, name: 10**9}
    with pytest.raises(UserError, match=f"^config.json: {name}=1000000000 is too large; the maximum is"):
        family.read_config(hf_config)


def test_a_large_rotary_base_may_be_a_whole_number() -> None:
    tiny_config(rope_theta=3_580_165_449).check()
    with pytest.raises(UserError, match="rope_theta"):
        tiny_config(rope_theta=10**30).check()
    with pytest.raises(UserError, match="query_pre_attn_scalar=-1"):
        tiny_config(query_pre_attn_scalar=-1).check()
