"""MPT (MosaicML 2023): ALiBi, LayerNorm without biases."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family, Field, Weight


@dataclass(frozen=True)
class AttentionConfig:
    """The group `attn_config`."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        group = hf_config.get("attn_config") or {}
        return {
            "clip_qkv": group.get("clip_qkv") or 0.0,
            "multipliers.attention": group.get("softmax_scale") or 0.0,
            "attention_dropout": group.get("attn_pdrop", 0.0),
        }

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config["attn_config"] = {
            "alibi": True,
            "attn_pdrop": config.attention_dropout,
            "clip_qkv": config.clip_qkv or None,
            "softmax_scale": config.multipliers.attention or None,
        }


def _refuse(hf_config: Mapping[str, Any]) -> str | None:
    group = hf_config.get("attn_config") or {}
    usual = {"alibi": True, "attn_type": "multihead_attention", "alibi_bias_max": 8, "qk_ln": False, "prefix_lm": False}
    changed = next((key for key, value in usual.items() if group.get(key, value) != value), None)
    return f"attn_config with {changed}={group[changed]!r}" if changed else None


MPT = Family(
    model_type="mpt",
    architecture="MptForCausalLM",
    fields=(
        Field("vocab_size", "vocab_size", 50368),
        Field("max_seq_len", "max_position_embeddings", 2048),
        Field("d_model", "hidden_size", 2048),
        Field("n_layers", "num_hidden_layers", 24),
        Field("n_heads", "num_attention_heads", 16),
        entries.Ratio("expansion_ratio", "intermediate_size", "hidden_size", 4),
        AttentionConfig(),
        Field("layer_norm_epsilon", "norm_eps", 1e-5),
        Field("tie_word_embeddings", "tie_word_embeddings", True),
        Field("emb_pdrop", "embedding_dropout", 0.0),
    ),
    implied=lambda config: {
        **entries.equal_heads(config),
        "norm": "layernorm",
        "norm_bias": False,
        "position": "alibi",
        "feed_forward": "gelu",
        "qk_norm": False,
    },
    refuse=_refuse,
    weights=(
        Weight("transformer.wte.weight", ("embed_tokens.weight",)),
        Weight("transformer.blocks.{i}.norm_1.weight", ("layers.{i}.attention_norm.weight",)),
        Weight("transformer.blocks.{i}.attn.Wqkv.weight", tuple(f"layers.{{i}}.attention.{p}_proj.weight" for p in "qkv")),
        Weight("transformer.blocks.{i}.attn.out_proj.weight", ("layers.{i}.attention.o_proj.weight",)),
        Weight("transformer.blocks.{i}.norm_2.weight", ("layers.{i}.feed_forward_norm.weight",)),
        Weight("transformer.blocks.{i}.ffn.up_proj.weight", ("layers.{i}.feed_forward.up_proj.weight",)),
        Weight("transformer.blocks.{i}.ffn.down_proj.weight", ("layers.{i}.feed_forward.down_proj.weight",)),
        Weight("transformer.norm_f.weight", ("norm.weight",)),
        Weight("lm_head.weight", ("lm_head.weight",), when=common.is_untied),
    ),
    optional_prefix="transformer.",
)
