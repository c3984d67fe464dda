"""Llama 1 to 3 (arXiv 2302.13971, 2407.21783), models of the same design (SmolLM2, TinyLlama), and Mistral (2310.06825)."""

from lmcraft.model.families import common
from lmcraft.model.families.family import Family, Field

PLAIN = {"norm": "rmsnorm", "position": "rotary", "qk_norm": False}

LLAMA = Family(
    model_type="llama",
    architecture="LlamaForCausalLM",
    fields=(
        *common.sizes(32000, 2048, 4096, 11008, 32, 32),
        Field("rms_norm_eps", "norm_eps", 1e-6),
        Field("hidden_act", "feed_forward", "silu", common.SILU),
        Field("attention_bias", "attention_bias", False, common.BIAS),
        Field("mlp_bias", "mlp_bias", False),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        common.Rotary(types=("default", "linear", "llama3", "yarn")),
        *common.DROPOUTS,
    ),
    implied=lambda config: PLAIN,
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS, *common.ATTENTION, *common.MLP, *common.NORMS),
)

MISTRAL = Family(
    model_type="mistral",
    architecture="MistralForCausalLM",
    fields=(
        *common.sizes(32000, 131072, 4096, 14336, 32, 32, num_key_value_heads=8),
        Field("rms_norm_eps", "norm_eps", 1e-6),
        Field("hidden_act", "feed_forward", "silu", common.SILU),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        common.Rotary(types=("default", "linear", "llama3", "yarn")),
        common.Window(default=4096),
        *common.DROPOUTS,
    ),
    implied=lambda config: PLAIN,
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS, *common.ATTENTION, *common.MLP, *common.NORMS),
)
