"""Qwen3 (arXiv 2505.09388): RMSNorm, rotary positions, SwiGLU, grouped heads with QK norm."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families.family import Family, Field, Weight


def _implied(config: TransformerConfig) -> Mapping[str, Any]:
    return {
        "norm": "rmsnorm",
        "position": "rotary",
        "feed_forward": "swiglu",
        "qk_norm": True,
        "mlp_bias": False,
    }


def _refuse(hf_config: Mapping[str, Any]) -> str | None:
    rope = hf_config.get("rope_parameters") or hf_config.get("rope_scaling") or {}
    if (kind := rope.get("rope_type", rope.get("type", "default"))) != "default":
        return f"rotary scaling of type {kind!r}"
    if hf_config.get("use_sliding_window"):
        return "use_sliding_window=true"
    if (act := hf_config.get("hidden_act", "silu")) != "silu":
        return f"hidden_act={act!r}"
    return None


def _layer(hf: str, ours: str, **options: Any) -> Weight:
    return Weight(f"model.layers.{{i}}.{hf}", (f"layers.{{i}}.{ours}",), **options)


def _has_bias(config: TransformerConfig) -> bool:
    return config.attention_bias


QWEN3 = Family(
    model_type="qwen3",
    architecture="Qwen3ForCausalLM",
    fields=(
        Field("vocab_size", "vocab_size", 151936),
        Field("max_position_embeddings", "max_position_embeddings", 32768),
        Field("hidden_size", "hidden_size", 4096),
        Field("num_hidden_layers", "num_hidden_layers", 32),
        Field("num_attention_heads", "num_attention_heads", 32),
        Field("num_key_value_heads", "num_key_value_heads", 32),
        Field("head_dim", "head_dim", 128),
        Field("intermediate_size", "intermediate_size", 22016),
        Field("rms_norm_eps", "norm_eps", 1e-6),
        Field("rope_parameters.rope_theta", "rope_theta", 10000.0, older="rope_theta"),
        Field("attention_bias", "attention_bias", False),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        Field("attention_dropout", "attention_dropout", 0.0),
        Field("embd_pdrop", "embedding_dropout", 0.0),  # not of Qwen3's; transformers carries them along unread
        Field("resid_pdrop", "residual_dropout", 0.0),
    ),
    implied=_implied,
    refuse=_refuse,
    constants={"hidden_act": "silu", "use_sliding_window": False, "rope_parameters": {"rope_type": "default"}},
    weights=(
        Weight("model.embed_tokens.weight", ("embed_tokens.weight",)),
        _layer("input_layernorm.weight", "attention_norm.weight"),
        *(_layer(f"self_attn.{p}_proj.weight", f"attention.{p}_proj.weight") for p in "qkvo"),
        *(_layer(f"self_attn.{p}_proj.bias", f"attention.{p}_proj.bias", when=_has_bias) for p in "qkvo"),
        *(_layer(f"self_attn.{p}_norm.weight", f"attention.{p}_norm.weight") for p in "qk"),
        _layer("post_attention_layernorm.weight", "feed_forward_norm.weight"),
        *(_layer(f"mlp.{p}_proj.weight", f"feed_forward.{p}_proj.weight") for p in ("gate", "up", "down")),
        Weight("model.norm.weight", ("norm.weight",)),
        Weight("lm_head.weight", ("lm_head.weight",), when=lambda config: not config.tie_word_embeddings),
    ),
)
