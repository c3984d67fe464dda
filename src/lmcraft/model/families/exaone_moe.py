"""EXAONE 4.5 MoE (K-EXAONE): windows with rotary positions, and full attention without; DeepSeek V3's experts."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.families import common, entries, experts
from lmcraft.model.families.family import Family, Field


class DenseLayers(experts.LayerTypes):
    """`mlp_layer_types`, or the number of leading layers that stay dense."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        if hf_config.get("mlp_layer_types"):
            return super().read(hf_config, read_so_far)
        return experts.FirstDenseLayers(default=1).read(hf_config, read_so_far)


EXAONE_MOE = Family(
    model_type="exaone_moe",
    architecture="ExaoneMoeForCausalLM",
    fields=(
        *common.sizes(102400, 2048, 4096, 16384, 32, 32, num_key_value_heads=32),
        *entries.llama_like(eps=1e-5),
        Field("num_experts", "num_experts", 64, other="num_local_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", 8),
        Field("moe_intermediate_size", "moe_intermediate_size", 1024),
        Field("norm_topk_prob", "norm_topk_prob", True),
        experts.SharedExperts("num_shared_experts", default=1),
        DenseLayers(),
        *experts.GROUPS,
        Field("routed_scaling_factor", "router.scaling_factor", 2.5),
        common.LayeredWindow(4096, entries.full_every(4, key="sliding_window_pattern")),
    ),
    implied=lambda config: {
        "norm": "rmsnorm",
        "position": "rotary",
        "qk_norm": True,
        "no_rope_layers": entries.full_layers(config) if config.sliding_window else (),
        **experts.SIGMOID,
    },
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *common.ATTENTION,
        *common.MLP,
        *common.NORMS,
        experts.router(),
        experts.correction_bias("mlp.e_score_correction_bias"),
        *experts.experts(),
        *experts.shared_expert(),
    ),
)
