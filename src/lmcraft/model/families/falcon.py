"""Falcon (arXiv 2311.16867): sub-layers in parallel, heads that share keys and values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family, Field, Weight
from lmcraft.model.families.layouts import BY_KEY_VALUE_HEAD


@dataclass(frozen=True)
class Blocks:
    """Which sub-layers share what: norms, and keys and values of heads."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        heads, is_new = read_so_far["num_attention_heads"], bool(hf_config.get("new_decoder_architecture"))
        shared = 1 if hf_config.get("multi_query", True) else heads
        parallel = hf_config.get("parallel_attn", True)
        norms = hf_config.get("num_ln_in_parallel_attn") or (2 if is_new else 1)
        return {
            "num_key_value_heads": hf_config.get("num_kv_heads") or heads if is_new else shared,
            "parallel_residual": parallel,
            "shared_norm": parallel and norms == 1,
        }

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        heads, shared = config.num_attention_heads, config.num_key_value_heads
        two_norms = config.parallel_residual and not config.shared_norm
        is_new = two_norms or shared not in (1, heads)
        hf_config |= {"new_decoder_architecture": is_new, "multi_query": shared == 1, "num_kv_heads": shared}
        hf_config |= {"parallel_attn": config.parallel_residual, "alibi": False}
        hf_config["num_ln_in_parallel_attn"] = (2 if two_norms else 1) if is_new else None


def _refuse(hf_config: Mapping[str, Any]) -> str | None:
    if hf_config.get("alibi"):
        return "alibi=True (biases rounded to bfloat16)"
    is_new, parallel = hf_config.get("new_decoder_architecture"), hf_config.get("parallel_attn", True)
    return "new_decoder_architecture=True without parallel_attn" if is_new and not parallel else None


def _has_one_norm(config: TransformerConfig, layer: int) -> bool:
    return config.shared_norm or not config.parallel_residual


def _has_two_norms(config: TransformerConfig, layer: int) -> bool:
    return not _has_one_norm(config, layer)


FALCON = Family(
    model_type="falcon",
    architecture="FalconForCausalLM",
    fields=(
        Field("vocab_size", "vocab_size", 65024),
        Field("max_position_embeddings", "max_position_embeddings", 2048),
        Field("hidden_size", "hidden_size", 4544, other="n_embed"),
        Field("ffn_hidden_size", "intermediate_size", lambda read: 4 * read["hidden_size"]),
        Field("num_hidden_layers", "num_hidden_layers", 32, other="n_layer"),
        Field("num_attention_heads", "num_attention_heads", 71, other="n_head"),
        Blocks(),
        Field("layer_norm_epsilon", "norm_eps", 1e-5),
        Field("activation", "feed_forward", "gelu", entries.UNGATED),
        Field("bias", "attention_bias", False, common.BIAS),
        Field("bias", "mlp_bias", False),
        Field("tie_word_embeddings", "tie_word_embeddings", True),
        common.Rotary(),
        Field("hidden_dropout", "residual_dropout", 0.0),
        Field("attention_dropout", "attention_dropout", 0.0),
    ),
    implied=lambda config: common.PLAIN | {"head_dim": common.head_width(vars(config)), "norm": "layernorm"},
    refuse=_refuse,
    weights=(
        Weight("transformer.word_embeddings.weight", ("embed_tokens.weight",)),
        *entries.norm_weights("transformer.h.{i}.input_layernorm", "layers.{i}.attention_norm", when=_has_one_norm),
        *entries.norm_weights(
            "transformer.h.{i}.post_attention_layernorm", "layers.{i}.feed_forward_norm", when=common.is_serial
        ),
        *entries.norm_weights("transformer.h.{i}.ln_attn", "layers.{i}.attention_norm", when=_has_two_norms),
        *entries.norm_weights("transformer.h.{i}.ln_mlp", "layers.{i}.feed_forward_norm", when=_has_two_norms),
        *entries.fused_qkv("transformer.h.{i}.self_attention.query_key_value", BY_KEY_VALUE_HEAD),
        *entries.linear("transformer.h.{i}.self_attention.dense", "layers.{i}.attention.o_proj", common.has_output_bias),
        *entries.linear("transformer.h.{i}.mlp.dense_h_to_4h", "layers.{i}.feed_forward.up_proj", common.has_mlp_bias),
        *entries.linear("transformer.h.{i}.mlp.dense_4h_to_h", "layers.{i}.feed_forward.down_proj", common.has_mlp_bias),
        *entries.norm_weights("transformer.ln_f", "norm"),
        Weight("lm_head.weight", ("lm_head.weight",), when=common.is_untied),
    ),
    optional_prefix="transformer.",
)
