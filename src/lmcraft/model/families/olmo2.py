"""OLMo 2 (arXiv 2501.00656): Llama with norms of the sub-layers' outputs, and of all queries and keys of a token."""

from lmcraft.model.families import parts
from lmcraft.model.families.family import Family, Field

OLMO2 = Family(
    model_type="olmo2",
    architecture="Olmo2ForCausalLM",
    fields=(
        *parts.sizes(50304, 2048, 4096, 11008, 32, 32),
        Field("rms_norm_eps", "norm_eps", 1e-5),
        Field("hidden_act", "feed_forward", "silu", parts.SILU),
        Field("attention_bias", "attention_bias", False, parts.BIAS),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        parts.Rotary(types=("default", "linear", "llama3", "yarn")),
        *parts.DROPOUTS,
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
        *parts.OUTSIDE,
        *parts.ATTENTION,
        *parts.MLP,
        parts.layer_weight("post_attention_layernorm.weight", "attention_post_norm.weight"),
        parts.layer_weight("post_feedforward_layernorm.weight", "feed_forward_post_norm.weight"),
    ),
)
