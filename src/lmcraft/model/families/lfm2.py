"""LFM2 and its mixture of experts (arXiv 2511.23404): gated short convolutions, and attention in some layers."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, experts
from lmcraft.model.families.common import layer_weight
from lmcraft.model.families.family import Family, Field, Weight
from lmcraft.model.families.recurrent import LayerTypes


def layer_types(hf_config: Mapping[str, Any], layers: int) -> list[str]:
    """The layers of attention by number, as in earlier releases."""
    attending = hf_config.get("full_attn_idxs")
    return ["full_attention" if attending is None or n in attending else "conv" for n in range(layers)]


class InnerWidth:
    """`intermediate_size`; unless switched off, the inner width is two thirds of it, rounded up to a multiple."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        width = hf_config.get("block_ff_dim") or hf_config.get("intermediate_size", 12288)
        if hf_config.get("block_auto_adjust_ff_dim", True):
            width = int(hf_config.get("block_ffn_dim_multiplier", 1.0) * int(2 * width / 3))
            width += -width % hf_config.get("block_multiple_of", 256)
        return {"intermediate_size": width}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config |= {"intermediate_size": config.intermediate_size, "block_auto_adjust_ff_dim": False}


def has_conv_bias(config: TransformerConfig, layer: int) -> bool:
    return config.short_conv.bias


def has_expert_bias(config: TransformerConfig, layer: int) -> bool:
    return config.has_experts(layer) and config.router.correction_bias


CONV_NAMES = {"conv.in_proj": "mixer.in_proj", "conv.conv": "mixer.conv", "conv.out_proj": "mixer.o_proj"}
ATTENTION_NAMES = {
    **{f"self_attn.{p}_proj": f"attention.{p}_proj" for p in "qkv"},
    "self_attn.out_proj": "attention.o_proj",
    **{f"self_attn.{p}_layernorm": f"attention.{p}_norm" for p in "qk"},
}

FIELDS = (
    Field("norm_eps", "norm_eps", 1e-5),
    Field("conv_L_cache", "short_conv.kernel", 3),
    Field("conv_bias", "short_conv.bias", False),
    Field("tie_word_embeddings", "tie_word_embeddings", True, other="tie_embedding"),
    LayerTypes(layer_types),
    common.Rotary(theta=1e6),
)
IMPLIED = {"norm": "rmsnorm", "position": "rotary", "feed_forward": "swiglu", "qk_norm": True}
FEED_FORWARD_NAMES = {"gate": "w1", "up": "w3", "down": "w2"}
WEIGHTS = (
    Weight("model.embed_tokens.weight", ("embed_tokens.weight",)),
    Weight("model.embedding_norm.weight", ("norm.weight",)),
    Weight("lm_head.weight", ("lm_head.weight",), when=common.is_untied),
    *(layer_weight(f"{hf}.weight", f"{ours}.weight") for hf, ours in {**CONV_NAMES, **ATTENTION_NAMES}.items()),
    *(layer_weight(f"{hf}.bias", f"{ours}.bias", when=has_conv_bias) for hf, ours in CONV_NAMES.items()),
    layer_weight("operator_norm.weight", "attention_norm.weight"),
    layer_weight("ffn_norm.weight", "feed_forward_norm.weight"),
    *(
        layer_weight(f"feed_forward.{hf}.weight", f"feed_forward.{p}_proj.weight", when=common.is_dense)
        for p, hf in FEED_FORWARD_NAMES.items()
    ),
)

LFM2 = Family(
    model_type="lfm2",
    architecture="Lfm2ForCausalLM",
    fields=(*common.sizes(65536, 128_000, 2560, 12288, 32, 32, 8), InnerWidth(), *FIELDS),
    implied=lambda config: IMPLIED,
    optional_prefix="model.",
    weights=WEIGHTS,
)

LFM2_MOE = Family(
    model_type="lfm2_moe",
    architecture="Lfm2MoeForCausalLM",
    fields=(
        *common.sizes(65536, 128_000, 2048, 7168, 32, 32, 8),
        *FIELDS,
        Field("num_experts", "num_experts", 32),
        Field("num_experts_per_tok", "num_experts_per_tok", 4),
        Field("moe_intermediate_size", "moe_intermediate_size", 1792),
        Field("use_expert_bias", "router.correction_bias", True),
        Field("routed_scaling_factor", "router.scaling_factor", 1.0),
        Field("norm_topk_prob", "norm_topk_prob", True),
        experts.FirstDenseLayers("num_dense_layers", 2),
    ),
    implied=lambda config: IMPLIED | {"router.scores": "sigmoid"},
    optional_prefix="model.",
    weights=(
        *WEIGHTS,
        *experts.experts("feed_forward", ("w1", "w3", "w2")),
        experts.router("feed_forward.gate"),
        layer_weight("feed_forward.expert_bias", "feed_forward.correction_bias", when=has_expert_bias),
    ),
)
