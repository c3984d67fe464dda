"""ERNIE 4.5 MoE: a softmax router with a correction bias, interleaved rotary positions."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, experts
from lmcraft.model.families.family import Family, Field


class SparseLayers:
    """The layers with experts: every `moe_layer_interval`-th one from the first to the last that may have them."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        layers = range(read_so_far["num_hidden_layers"])
        first, last = hf_config.get("moe_layer_start_index", 1), hf_config.get("moe_layer_end_index", -1)
        interval, last = hf_config.get("moe_layer_interval", 1), len(layers) - 1 if last == -1 else last
        sparse = [layer for layer in layers if first <= layer <= last and (layer + 1) % interval == 0]
        return {"mlp_only_layers": tuple(layer for layer in layers if layer not in sparse)}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        sparse = [layer for layer in range(config.num_hidden_layers) if config.has_experts(layer)] or [0, 0]
        hf_config |= {
            "moe_layer_start_index": sparse[0],
            "moe_layer_end_index": sparse[-1],
            "moe_layer_interval": sparse[1] - sparse[0] if len(sparse) > 1 else 1,
        }


def _biases(hf_config: Mapping[str, Any]) -> str | None:
    return "use_bias=true" if hf_config.get("use_bias") else None


ERNIE4_5_MOE = Family(
    model_type="ernie4_5_moe",
    architecture="Ernie4_5_MoeForCausalLM",
    fields=(
        *common.sizes(103424, 131072, 2560, 12288, 28, 20, num_key_value_heads=4),
        Field("rms_norm_eps", "norm_eps", 1e-5),
        Field("hidden_act", "feed_forward", "silu", common.SILU),
        Field("tie_word_embeddings", "tie_word_embeddings", True),
        Field("moe_num_experts", "num_experts", 64),
        Field("moe_k", "num_experts_per_tok", 6),
        Field("moe_intermediate_size", "moe_intermediate_size", 1536),
        experts.SharedExperts("moe_num_shared_experts", default=2),
        SparseLayers(),
        common.Rotary(theta=5e5),
    ),
    implied=lambda config: {
        "norm": "rmsnorm",
        "position": "rotary",
        "qk_norm": False,
        "router.correction_bias": True,
        "router.in_float32": True,
    },
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *common.INTERLEAVED_ATTENTION,
        *common.MLP,
        *common.NORMS,
        experts.router(),
        experts.correction_bias("mlp.moe_statics.e_score_correction_bias", shape=lambda config: (1, config.num_experts)),
        *experts.experts(),
        *experts.shared_expert(),
    ),
    refuse=_biases,
)
