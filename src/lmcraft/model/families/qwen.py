"""Qwen 2 and 2.5 (arXiv 2407.10671, 2412.15115), Qwen 3 and its mixture of experts (arXiv 2505.09388)."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, experts
from lmcraft.model.families.family import Family, Field

PLAIN = {"norm": "rmsnorm", "position": "rotary"}
COMMON = (
    Field("rms_norm_eps", "norm_eps", 1e-6),
    Field("hidden_act", "feed_forward", "silu", common.SILU),
    Field("tie_word_embeddings", "tie_word_embeddings", False),
    common.Rotary(types=("default", "linear", "llama3", "yarn")),
    *common.DROPOUTS,
)
WINDOW = common.LayeredWindow(4096, common.by_max_window_layers, switch="use_sliding_window")

QWEN2 = Family(
    model_type="qwen2",
    architecture="Qwen2ForCausalLM",
    fields=(*common.sizes(151936, 32768, 4096, 22016, 32, 32, num_key_value_heads=32), *COMMON, WINDOW),
    implied=lambda config: PLAIN | {"qk_norm": False, "attention_bias": "qkv"},
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS, *common.ATTENTION, *common.MLP, *common.NORMS),
)

QWEN3 = Family(
    model_type="qwen3",
    architecture="Qwen3ForCausalLM",
    fields=(
        *common.sizes(151936, 32768, 4096, 22016, 32, 32, num_key_value_heads=32, head_dim=128),
        Field("attention_bias", "attention_bias", False, common.BIAS),
        *COMMON,
        WINDOW,
    ),
    implied=lambda config: PLAIN | {"qk_norm": True},
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS, *common.ATTENTION, *common.MLP, *common.NORMS),
)


class DenseLayers:
    """Dense layers: `mlp_only_layers`, and those that `decoder_sparse_step` skips."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        step = hf_config.get("decoder_sparse_step", 1)
        named = hf_config.get("mlp_only_layers") or ()
        layers = range(read_so_far["num_hidden_layers"])
        return {"mlp_only_layers": tuple(layer for layer in layers if layer in named or (layer + 1) % step)}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config |= {"decoder_sparse_step": 1, "mlp_only_layers": list(config.mlp_only_layers)}


class SwitchedWindow(common.Window):
    """One window for all layers, if `use_sliding_window` is true."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        return super().read(hf_config, read_so_far) if hf_config.get("use_sliding_window") else {}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        super().write(config, hf_config)
        hf_config["use_sliding_window"] = config.sliding_window > 0


QWEN3_MOE = Family(
    model_type="qwen3_moe",
    architecture="Qwen3MoeForCausalLM",
    fields=(
        *common.sizes(151936, 32768, 2048, 6144, 24, 32, num_key_value_heads=4),
        Field("attention_bias", "attention_bias", False, common.BIAS),
        Field("num_experts", "num_experts", 128, other="num_local_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", 8),
        Field("moe_intermediate_size", "moe_intermediate_size", 768),
        Field("norm_topk_prob", "norm_topk_prob", False),
        DenseLayers(),
        *COMMON,
        SwitchedWindow(default=4096),
    ),
    implied=lambda config: PLAIN | {"qk_norm": True},
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *common.ATTENTION,
        *common.MLP,
        *common.NORMS,
        experts.router(),
        *experts.experts(),
    ),
)


def _every_other_below_max_window_layers(hf_config: Mapping[str, Any], layers: int) -> list[str]:
    """The layers with even numbers below `max_window_layers` slide."""
    sliding = range(0, min(layers, hf_config.get("max_window_layers", 28)), 2)
    return ["sliding_attention" if layer in sliding else "full_attention" for layer in range(layers)]


GATED_EXPERTS = (
    experts.router(),
    *experts.experts(),
    *experts.shared_expert("mlp.shared_expert"),
    common.layer_weight("mlp.shared_expert_gate.weight", "feed_forward.shared_gate.weight", when=experts.has_shared_expert),
)
QWEN2_MOE = Family(
    model_type="qwen2_moe",
    architecture="Qwen2MoeForCausalLM",
    fields=(
        *common.sizes(151936, 32768, 2048, 5632, 24, 16, num_key_value_heads=16),
        Field("qkv_bias", "attention_bias", True, {True: "qkv", False: "none"}),
        Field("num_experts", "num_experts", 60, other="num_local_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", 4),
        Field("moe_intermediate_size", "moe_intermediate_size", 1408),
        Field("shared_expert_intermediate_size", "shared_expert.intermediate_size", 5632),
        Field("norm_topk_prob", "norm_topk_prob", False),
        DenseLayers(),
        *COMMON,
        common.LayeredWindow(4096, _every_other_below_max_window_layers, switch="use_sliding_window"),
    ),
    implied=lambda config: PLAIN | {"qk_norm": False, "shared_expert.gate": True},
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *common.ATTENTION,
        *common.MLP,
        *common.NORMS,
        *GATED_EXPERTS,
    ),
)
