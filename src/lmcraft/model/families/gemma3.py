"""Gemma 3's text models (arXiv 2503.19786): norms before and after sub-layers, sliding windows in five of six layers, scaled
embeddings.
"""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.families import common
from lmcraft.model.families.family import Family, Field


def _layer_types(hf_config: Mapping[str, Any], layers: int) -> list[str]:
    every = hf_config.get("sliding_window_pattern", 6)
    return ["sliding_attention" if (layer + 1) % every else "full_attention" for layer in range(layers)]


def refuse_bidirectional(hf_config: Mapping[str, Any]) -> str | None:
    """Refuse attention to later tokens, which embedding models have."""
    value = hf_config.get("use_bidirectional_attention")
    return f"use_bidirectional_attention={value!r}" if value else None


ACTIVATIONS = {"gelu_pytorch_tanh": "geglu_tanh", "gelu": "geglu", "silu": "swiglu"}
NORMS = (
    common.layer_weight("input_layernorm.weight", "attention_norm.weight"),
    common.layer_weight("post_attention_layernorm.weight", "attention_post_norm.weight"),
    common.layer_weight("pre_feedforward_layernorm.weight", "feed_forward_norm.weight"),
    common.layer_weight("post_feedforward_layernorm.weight", "feed_forward_post_norm.weight"),
)

GEMMA3 = Family(
    model_type="gemma3_text",
    architecture="Gemma3ForCausalLM",
    fields=(
        *common.sizes(262208, 131072, 2304, 9216, 26, 8, num_key_value_heads=4, head_dim=256),
        Field("rms_norm_eps", "norm_eps", 1e-6),
        Field("hidden_activation", "feed_forward", "gelu_pytorch_tanh", ACTIVATIONS),
        Field("query_pre_attn_scalar", "query_pre_attn_scalar", 256),
        Field("final_logit_softcapping", "final_logit_softcapping", 0.0, null_is_zero=True),
        Field("attn_logit_softcapping", "attn_logit_softcapping", 0.0, null_is_zero=True),
        Field("attention_bias", "attention_bias", False, common.BIAS),
        Field("tie_word_embeddings", "tie_word_embeddings", True),
        common.LocalRotary(),
        common.LayeredWindow(4096, _layer_types),
        *common.DROPOUTS,
    ),
    implied=lambda config: {
        "norm": "gemma_rmsnorm",
        "norm_placement": "both",
        "position": "rotary",
        "qk_norm": True,
        "scale_embeddings": True,
    },
    refuse=refuse_bidirectional,
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *common.ATTENTION,
        *common.MLP,
        *NORMS,
    ),
)
