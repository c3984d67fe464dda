"""DBRX."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family, Field, Weight


class InnerRotary(common.Rotary):
    """Rotary positions whose base published checkpoints have in `attn_config`."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        theta = (hf_config.get("attn_config") or {}).get("rope_theta", self.theta)
        return super().read({"rope_theta": theta, **hf_config}, read_so_far)

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        super().write(config, hf_config)
        hf_config["attn_config"]["rope_theta"] = config.rope_theta


def _tensor(hf: str, *ours: str) -> Weight:
    return Weight(f"transformer.blocks.{{i}}.{hf}", tuple(f"layers.{{i}}.{name}" for name in ours))


def _experts(hf: str, part: str, *, transposed: bool = False) -> Weight:
    ours = (f"layers.{{i}}.feed_forward.experts.{{e}}.{part}_proj.weight",)
    return Weight(f"transformer.blocks.{{i}}.ffn.experts.mlp.{hf}", ours, transposed=transposed, shape=_flat)


def _flat(config: TransformerConfig) -> tuple[int, ...]:
    return config.num_experts * config.moe_intermediate_size, config.hidden_size


OUTER = {"transformer.wte": "embed_tokens", "transformer.norm_f": "norm", "lm_head": "lm_head"}

DBRX = Family(
    model_type="dbrx",
    architecture="DbrxForCausalLM",
    fields=(
        Field("vocab_size", "vocab_size", 32000),
        Field("max_seq_len", "max_position_embeddings", 2048),
        Field("d_model", "hidden_size", 2048),
        Field("n_layers", "num_hidden_layers", 24),
        Field("n_heads", "num_attention_heads", 16),
        entries.Inner("kv_n_heads", "num_key_value_heads", 1, group="attn_config"),
        entries.Inner("clip_qkv", "clip_qkv", 0.0, group="attn_config"),
        entries.Inner("attn_pdrop", "attention_dropout", 0.0, group="attn_config"),
        entries.Inner("ffn_hidden_size", "intermediate_size", 3584, group="ffn_config"),
        entries.Inner("moe_num_experts", "num_experts", 4, group="ffn_config"),
        entries.Inner("moe_top_k", "num_experts_per_tok", 1, group="ffn_config"),
        entries.Inner("moe_normalize_expert_weights", "norm_topk_prob", 1.0, {1.0: True}, group="ffn_config"),
        Field("emb_pdrop", "embedding_dropout", 0.0),
        Field("resid_pdrop", "residual_dropout", 0.0),
        InnerRotary(),
    ),
    implied=lambda config: {
        "norm": "layernorm",
        "norm_bias": False,
        "norm_eps": 1e-5,
        "position": "rotary",
        "qk_norm": False,
        "tie_word_embeddings": False,
        "head_dim": config.hidden_size // config.num_attention_heads,
        "moe_intermediate_size": config.intermediate_size,
    },
    weights=(
        *(Weight(f"{hf}.weight", (f"{ours}.weight",)) for hf, ours in OUTER.items()),
        _tensor("norm_attn_norm.norm_1.weight", "attention_norm.weight"),
        _tensor("norm_attn_norm.norm_2.weight", "feed_forward_norm.weight"),
        _tensor("norm_attn_norm.attn.Wqkv.weight", *(f"attention.{part}_proj.weight" for part in "qkv")),
        _tensor("norm_attn_norm.attn.out_proj.weight", "attention.o_proj.weight"),
        _tensor("ffn.router.layer.weight", "feed_forward.router.weight"),
        _experts("w1", "gate"),
        _experts("v1", "up"),
        _experts("w2", "down", transposed=True),
    ),
)
