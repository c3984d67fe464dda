"""Aria's language model (arXiv 2410.05993)."""

from lmcraft.model.families import common, experts
from lmcraft.model.families.family import Family, Field

ARIA_TEXT = Family(
    model_type="aria_text",
    architecture="AriaTextForCausalLM",
    fields=(
        *common.sizes(32000, 2048, 4096, 4096, 32, 32),
        Field("rms_norm_eps", "norm_eps", 1e-6),
        Field("hidden_act", "feed_forward", "silu", {"silu": "swiglu"}),
        Field("attention_bias", "attention_bias", False, common.BIAS),
        Field("mlp_bias", "mlp_bias", False, {False: False}),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        Field("intermediate_size", "moe_intermediate_size", 4096),
        Field("moe_num_experts", "num_experts", 8),
        Field("moe_topk", "num_experts_per_tok", 2),
        experts.SharedExperts("moe_num_shared_experts", default=2),
        common.Rotary(),
        *common.DROPOUTS,
    ),
    implied=lambda config: {
        "norm": "rmsnorm",
        "position": "rotary",
        "qk_norm": False,
        "router.scores": "topk_softmax",
    },
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *common.ATTENTION,
        *common.NORMS,
        experts.router("mlp.router"),
        experts.fused("mlp.experts.fc1.weight", ("gate", "up"), transposed=True),
        experts.fused("mlp.experts.fc2.weight", ("down",), transposed=True),
        *experts.shared_expert(),
    ),
)
