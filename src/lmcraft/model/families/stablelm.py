"""Stable LM (arXiv 2402.17834): Llama with LayerNorm, a quarter of each head rotated.

Nemotron-4 (arXiv 2402.16819) and Jais 2 have LayerNorm and squared ReLU.
"""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family, Field


def _refuse(hf_config: Mapping[str, Any]) -> str | None:
    return "qk_layernorm=True (a LayerNorm for each head)" if hf_config.get("qk_layernorm") else None


STABLELM = Family(
    model_type="stablelm",
    architecture="StableLmForCausalLM",
    fields=(
        *common.sizes(50304, 4096, 2560, 6912, 32, 32, num_key_value_heads=32),
        Field("layer_norm_eps", "norm_eps", 1e-5),
        Field("hidden_act", "feed_forward", "silu", common.SILU),
        Field("use_qkv_bias", "attention_bias", False, {True: "qkv", False: "none"}),
        Field("use_parallel_residual", "parallel_residual", False),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        common.Rotary(partial=0.25),
        *entries.DROPOUTS,
    ),
    implied=lambda config: common.PLAIN | {"norm": "layernorm", "shared_norm": config.parallel_residual},
    refuse=_refuse,
    optional_prefix="model.",
    weights=(
        *entries.OUTER,
        *common.ATTENTION,
        *common.MLP,
        *entries.LAYER_NORMS[:4],
        *entries.norm_weights(
            "model.layers.{i}.post_attention_layernorm", "layers.{i}.feed_forward_norm", when=common.is_serial
        ),
    ),
)

NEMOTRON = Family(
    model_type="nemotron",
    architecture="NemotronForCausalLM",
    fields=(
        *common.sizes(256000, 4096, 6144, 24576, 32, 48),
        Field("norm_eps", "norm_eps", 1e-5),
        Field("hidden_act", "feed_forward", "relu2", entries.UNGATED),
        *entries.BIASES,
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        common.Rotary(partial=0.5),
        *common.DROPOUTS,
    ),
    implied=lambda config: common.PLAIN | {"norm": "layernorm1p"},
    optional_prefix="model.",
    weights=(*entries.OUTER, *common.ATTENTION, *entries.ungated(), *entries.LAYER_NORMS),
)

JAIS2 = Family(
    model_type="jais2",
    architecture="Jais2ForCausalLM",
    fields=(
        *common.sizes(150272, 8192, 3328, 26624, 32, 26),
        Field("layer_norm_eps", "norm_eps", 1e-5),
        Field("hidden_act", "feed_forward", "relu2", entries.UNGATED),
        Field("attention_bias", "attention_bias", True, common.BIAS),
        Field("mlp_bias", "mlp_bias", True),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        common.Rotary(),
        *common.DROPOUTS,
    ),
    implied=lambda config: common.PLAIN | {"norm": "layernorm"},
    optional_prefix="model.",
    weights=NEMOTRON.weights,
)
