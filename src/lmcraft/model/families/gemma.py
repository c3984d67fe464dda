"""Gemma (arXiv 2403.08295), and Gemma 2 (arXiv 2408.00118) with soft-capping, norms before and after sub-layers, and sliding
windows in every other layer. VaultGemma is Gemma 2 with norms before sub-layers only.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lmcraft.model.families import common, gemma3
from lmcraft.model.families.family import Family, Field

# The first releases wrote "gelu" for the tanh approximation.
ACTIVATIONS = {"gelu_pytorch_tanh": "geglu_tanh", "gelu": "geglu_tanh", "silu": "swiglu"}
COMMON = (
    Field("rms_norm_eps", "norm_eps", 1e-6),
    Field("attention_bias", "attention_bias", False, common.BIAS),
    Field("tie_word_embeddings", "tie_word_embeddings", True),
    common.Rotary(),
    *common.DROPOUTS,
)
IMPLIED = {"norm": "gemma_rmsnorm", "position": "rotary", "qk_norm": False, "scale_embeddings": True}


def _layer_types(hf_config: Mapping[str, Any], layers: int) -> list[str]:
    return ["full_attention" if layer % 2 else "sliding_attention" for layer in range(layers)]


GEMMA = Family(
    model_type="gemma",
    architecture="GemmaForCausalLM",
    fields=(
        *common.sizes(256000, 8192, 3072, 24576, 28, 16, num_key_value_heads=16, head_dim=256),
        Field("hidden_act", "feed_forward", "gelu_pytorch_tanh", ACTIVATIONS),
        *COMMON,
    ),
    implied=lambda config: IMPLIED,
    refuse=gemma3.refuse_bidirectional,
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS, *common.ATTENTION, *common.MLP, *common.NORMS),
)

GEMMA2 = Family(
    model_type="gemma2",
    architecture="Gemma2ForCausalLM",
    fields=(
        *common.sizes(256000, 8192, 2304, 9216, 26, 8, num_key_value_heads=4, head_dim=256),
        Field("hidden_activation", "feed_forward", "gelu_pytorch_tanh", gemma3.ACTIVATIONS),
        Field("query_pre_attn_scalar", "query_pre_attn_scalar", 256),
        Field("final_logit_softcapping", "final_logit_softcapping", 30.0, null_is_zero=True),
        Field("attn_logit_softcapping", "attn_logit_softcapping", 50.0, null_is_zero=True),
        common.LayeredWindow(4096, _layer_types),
        *COMMON,
    ),
    implied=lambda config: IMPLIED | {"norm_placement": "both"},
    refuse=gemma3.refuse_bidirectional,
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS, *common.ATTENTION, *common.MLP, *gemma3.NORMS),
)

VAULTGEMMA = replace(
    GEMMA2,
    model_type="vaultgemma",
    architecture="VaultGemmaForCausalLM",
    implied=lambda config: IMPLIED,
    weights=(
        *common.EMBEDDINGS,
        *common.ATTENTION,
        *common.MLP,
        common.layer_weight("input_layernorm.weight", "attention_norm.weight"),
        common.layer_weight("pre_feedforward_layernorm.weight", "feed_forward_norm.weight"),
    ),
)
