"""OLMo 2 (arXiv 2501.00656): Llama with norms after the sub-layers, and QK norm over all heads of a token."""

from lmcraft.model.families import common
from lmcraft.model.families.family import Family, Field

OLMO2 = Family(
    model_type="olmo2",
    architecture="Olmo2ForCausalLM",
    fields=(
        *common.sizes(50304, 2048, 4096, 11008, 32, 32),
        Field("rms_norm_eps", "norm_eps", 1e-5),
        Field("hidden_act", "feed_forward", "silu", common.SILU),
        Field("attention_bias", "attention_bias", False, common.BIAS),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        common.Rotary(types=("default", "linear", "llama3", "yarn")),
        *common.DROPOUTS,
    ),
    implied=lambda config: {
        "norm": "rmsnorm",
        "norm_placement": "after",
        "position": "rotary",
        "qk_norm": True,
        "qk_norm_over": "projection",
    },
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *common.ATTENTION,
        *common.MLP,
        common.layer_weight("post_attention_layernorm.weight", "attention_post_norm.weight"),
        common.layer_weight("post_feedforward_layernorm.weight", "feed_forward_post_norm.weight"),
    ),
)
