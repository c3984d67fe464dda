"""Arcee's Trinity (AFMoE): gated attention, windows with rotary positions and full attention without, sigmoid routing."""

from lmcraft.model.families import common, entries, experts
from lmcraft.model.families.common import layer_weight
from lmcraft.model.families.family import Family, Field

AFMOE = Family(
    model_type="afmoe",
    architecture="AfmoeForCausalLM",
    fields=(
        *common.sizes(200192, 16384, 2048, 6144, 32, 16, head_dim=128),
        *entries.llama_like(eps=1e-5),
        Field("attention_bias", "attention_bias", False, {False: "none"}),
        Field("mup_enabled", "scale_embeddings", False),
        Field("num_experts", "num_experts", 64, other="num_local_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", 6),
        Field("moe_intermediate_size", "moe_intermediate_size", 1408),
        Field("route_scale", "router.scaling_factor", 1.0),
        experts.SharedExperts("num_shared_experts", default=2),
        experts.FirstDenseLayers("num_dense_layers", default=1),
        common.LayeredWindow(1024, entries.full_every(4, key="global_attn_every_n_layers")),
    ),
    implied=lambda config: {
        "norm": "rmsnorm",
        "norm_placement": "both",
        "position": "rotary",
        "qk_norm": True,
        "attention_gate": True,
        "no_rope_layers": entries.full_layers(config),
        "router.scores": "sigmoid",
        "router.correction_bias": True,
    },
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *common.ATTENTION,
        layer_weight("self_attn.gate_proj.weight", "attention.gate_proj.weight"),
        *common.MLP,
        layer_weight("input_layernorm.weight", "attention_norm.weight"),
        layer_weight("post_attention_layernorm.weight", "attention_post_norm.weight"),
        layer_weight("pre_mlp_layernorm.weight", "feed_forward_norm.weight"),
        layer_weight("post_mlp_layernorm.weight", "feed_forward_post_norm.weight"),
        experts.router("mlp.router.gate"),
        experts.correction_bias("mlp.expert_bias"),
        *experts.experts(),
        *experts.shared_expert(),
    ),
)
