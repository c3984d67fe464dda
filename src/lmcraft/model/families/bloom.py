"""BLOOM (arXiv 2211.05100): ALiBi, a LayerNorm of the embeddings."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family, Field, Weight
from lmcraft.model.families.layouts import BY_HEAD


def _refuse(hf_config: Mapping[str, Any]) -> str | None:
    if hf_config.get("slow_but_exact") and hf_config.get("pretraining_tp", 1) != 1:
        return f"slow_but_exact=True with pretraining_tp={hf_config['pretraining_tp']}"
    key = "apply_residual_connection_post_layernorm"
    return f"{key}=True" if hf_config.get(key) else None


BLOOM = Family(
    model_type="bloom",
    architecture="BloomForCausalLM",
    fields=(
        Field("vocab_size", "vocab_size", 250880),
        Field("seq_length", "max_position_embeddings", 2048),
        Field("hidden_size", "hidden_size", 64, other="n_embed"),
        Field("n_layer", "num_hidden_layers", 2, other="num_hidden_layers"),
        Field("n_head", "num_attention_heads", 8, other="num_attention_heads"),
        Field("layer_norm_epsilon", "norm_eps", 1e-5),
        Field("tie_word_embeddings", "tie_word_embeddings", True),
        *entries.DROPOUTS,
    ),
    implied=lambda config: {
        **entries.equal_heads(config),
        "intermediate_size": 4 * config.hidden_size,
        "norm": "layernorm",
        "embedding_norm": True,
        "position": "alibi",
        "feed_forward": "gelu_tanh",
        "qk_norm": False,
        "attention_bias": "all",
        "mlp_bias": True,
    },
    refuse=_refuse,
    weights=(
        Weight("transformer.word_embeddings.weight", ("embed_tokens.weight",)),
        *entries.norm_weights("transformer.word_embeddings_layernorm", "embed_norm"),
        *entries.norm_weights("transformer.h.{i}.input_layernorm", "layers.{i}.attention_norm"),
        *entries.fused_qkv("transformer.h.{i}.self_attention.query_key_value", BY_HEAD),
        *entries.norm_weights("transformer.h.{i}.self_attention.dense", "layers.{i}.attention.o_proj"),
        *entries.norm_weights("transformer.h.{i}.post_attention_layernorm", "layers.{i}.feed_forward_norm"),
        *entries.norm_weights("transformer.h.{i}.mlp.dense_h_to_4h", "layers.{i}.feed_forward.up_proj"),
        *entries.norm_weights("transformer.h.{i}.mlp.dense_4h_to_h", "layers.{i}.feed_forward.down_proj"),
        *entries.norm_weights("transformer.ln_f", "norm"),
        Weight("lm_head.weight", ("lm_head.weight",), when=common.is_untied),
    ),
    optional_prefix="transformer.",
)
