"""Gemma 4's text models: larger heads in full-attention layers, shared keys and values in the last layers, embeddings per
layer, and experts beside the dense layer; each model has some of these.
"""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.families import common, gemma3
from lmcraft.model.families.common import layer_weight
from lmcraft.model.families.common_uneven import (
    FEED_FORWARD,
    FULL,
    LAYER_EMBEDDINGS,
    ExpertsBesideDense,
    FullLayerSizes,
    LayerEmbeddings,
    ProportionalRotary,
    own_keys,
    unneeded_keys,
)
from lmcraft.model.families.family import Family, Field


def _layer_types(hf_config: Mapping[str, Any], layers: int) -> list[str]:
    types = ["sliding_attention" if (layer + 1) % 6 else FULL for layer in range(layers)]
    return [*types[:-1], FULL]


def _refuse(hf_config: Mapping[str, Any]) -> str | None:
    if (hf_config.get("layer_types") or [FULL])[-1] != FULL:
        return "layer_types whose last layer is not full_attention"
    bidirectional = hf_config.get("use_bidirectional_attention")  # "vision": among the tokens of an image only
    return None if bidirectional in (None, "vision") else f"use_bidirectional_attention={bidirectional!r}"


GEMMA4_TEXT = Family(
    model_type="gemma4_text",
    architecture="Gemma4ForCausalLM",
    fields=(
        *common.sizes(262144, 131072, 2304, 9216, 30, 8, num_key_value_heads=4, head_dim=256),
        Field("rms_norm_eps", "norm_eps", 1e-6),
        Field("hidden_activation", "feed_forward", "gelu_pytorch_tanh", gemma3.ACTIVATIONS),
        Field("attention_bias", "attention_bias", False, common.BIAS),
        Field("tie_word_embeddings", "tie_word_embeddings", True),
        Field("final_logit_softcapping", "final_logit_softcapping", 0.0, null_is_zero=True),
        common.LayeredWindow(512, _layer_types),
        ProportionalRotary(),
        FullLayerSizes(),
        Field("attention_k_eq_v", "full_layers.keys_as_values", False),
        Field("num_kv_shared_layers", "key_sharing.num_layers", 0),
        Field("use_double_wide_mlp", "key_sharing.wide_feed_forward", False),
        LayerEmbeddings(),
        ExpertsBesideDense(),
        *common.DROPOUTS,
    ),
    implied=lambda config: {
        "norm": "rmsnorm",
        "norm_placement": "both",
        "position": "rotary",
        "qk_norm": True,
        "value_norm": True,
        "query_pre_attn_scalar": 1.0,
        "scale_embeddings": True,
        "layer_scale": True,
    },
    refuse=_refuse,
    unneeded=unneeded_keys,
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *own_keys(common.ATTENTION),
        layer_weight("input_layernorm.weight", "attention_norm.weight"),
        layer_weight("post_attention_layernorm.weight", "attention_post_norm.weight"),
        layer_weight("layer_scalar", "layer_scale"),
        *FEED_FORWARD,
        *LAYER_EMBEDDINGS,
    ),
)
