"""GLM-4 (`glm`, arXiv 2406.12793) and GLM-4-0414 (`glm4`): half of each head rotated, fused gate and up projections."""

from lmcraft.model.families import common, entries
from lmcraft.model.families.common import layer_weight
from lmcraft.model.families.family import Family, Field

FIELDS = (
    *common.sizes(151552, 131072, 4096, 13696, 40, 32, num_key_value_heads=2, head_dim=128),
    Field("attention_bias", "attention_bias", True, {True: "qkv", False: "none"}),
    *entries.llama_like(eps=1.5625e-7, rotary=common.Rotary(partial=0.5)),
)
WEIGHTS = (*common.EMBEDDINGS, *common.INTERLEAVED_ATTENTION, *entries.FUSED_MLP, *common.NORMS)

GLM = Family(
    model_type="glm",
    architecture="GlmForCausalLM",
    fields=FIELDS,
    implied=lambda config: common.PLAIN,
    optional_prefix="model.",
    weights=WEIGHTS,
)

GLM4 = Family(
    model_type="glm4",
    architecture="Glm4ForCausalLM",
    fields=FIELDS,
    implied=lambda config: common.PLAIN | {"norm_placement": "both"},
    optional_prefix="model.",
    weights=(
        *WEIGHTS,
        layer_weight("post_self_attn_layernorm.weight", "attention_post_norm.weight"),
        layer_weight("post_mlp_layernorm.weight", "feed_forward_post_norm.weight"),
    ),
)
