"""Falcon (arXiv 2311.16867): sub-layers in parallel, heads that share keys and values."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family, Field, Weight
from lmcraft.model.families.layouts import BY_KEY_VALUE_HEAD


class Blocks:
    """Which sub-layers share what: norms, and keys and values of heads."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        heads, is_new = read_so_far["num_attention_heads"], bool(hf_config.get("new_decoder_architecture"))
        parallel, norms = hf_config.get("parallel_attn", True), hf_config.get("num_ln_in_parallel_attn") or 1 + is_new
        shared = hf_config.get("num_kv_heads") if is_new else int(hf_config.get("multi_query", True))
        return {
            "num_key_value_heads": shared or heads,
            "parallel_residual": parallel,
            "shared_norm": parallel and (norms == 1 or not is_new),
        }

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        shared, two_norms = config.num_key_value_heads, _has_two_norms(config, 0)
        is_new = two_norms or shared not in (1, config.num_attention_heads)
        hf_config |= {"new_decoder_architecture": is_new, "multi_query": shared == 1, "num_kv_heads": shared}
        hf_config["parallel_attn"] = config.parallel_residual
        hf_config["num_ln_in_parallel_attn"] = 1 + two_norms if is_new else None


def _has_two_norms(config: TransformerConfig, layer: int) -> bool:
    return config.parallel_residual and not config.shared_norm


def _norm(hf: str, ours: str, when: Any) -> tuple[Weight, ...]:
    return entries.norm_weights(f"transformer.h.{{i}}.{hf}", f"layers.{{i}}.{ours}", when=when)


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
        *entries.DROPOUTS,
    ),
    implied=lambda config: common.PLAIN | {"head_dim": common.head_width(vars(config)), "norm": "layernorm"},
    refuse=lambda hf_config: "alibi=True (biases rounded to bfloat16)" if hf_config.get("alibi") else None,
    weights=(
        Weight("transformer.word_embeddings.weight", ("embed_tokens.weight",)),
        *_norm("input_layernorm", "attention_norm", lambda *block: not _has_two_norms(*block)),
        *_norm("post_attention_layernorm", "feed_forward_norm", common.is_serial),
        *_norm("ln_attn", "attention_norm", _has_two_norms),
        *_norm("ln_mlp", "feed_forward_norm", _has_two_norms),
        *entries.fused_qkv("transformer.h.{i}.self_attention.query_key_value", BY_KEY_VALUE_HEAD),
        *entries.linear("transformer.h.{i}.self_attention.dense", "layers.{i}.attention.o_proj", common.has_output_bias),
        *entries.neox_mlp("transformer.h.{i}.mlp", common.has_mlp_bias),
        *entries.norm_weights("transformer.ln_f", "norm"),
        Weight("lm_head.weight", ("lm_head.weight",), when=common.is_untied),
    ),
    optional_prefix="transformer.",
)
