"""StarCoder2 (arXiv 2402.19173): LayerNorm, GELU and biases everywhere, with rotary positions and a sliding window."""

from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family, Field

STARCODER2 = Family(
    model_type="starcoder2",
    architecture="Starcoder2ForCausalLM",
    fields=(
        *common.sizes(49152, 4096, 3072, 12288, 30, 24, num_key_value_heads=2),
        Field("norm_epsilon", "norm_eps", 1e-5),
        Field("hidden_act", "feed_forward", "gelu_pytorch_tanh", entries.UNGATED_TANH),
        Field("use_bias", "attention_bias", True, common.BIAS),
        Field("use_bias", "mlp_bias", True),
        Field("tie_word_embeddings", "tie_word_embeddings", True),
        Field("embedding_dropout", "embedding_dropout", 0.0),
        Field("residual_dropout", "residual_dropout", 0.0),
        Field("attention_dropout", "attention_dropout", 0.0),
        common.Rotary(),
        common.Window(),
    ),
    implied=lambda config: common.PLAIN | {"norm": "layernorm"},
    optional_prefix="model.",
    weights=(
        *entries.OUTER,
        *common.ATTENTION,
        *entries.ungated("mlp.c_fc", "mlp.c_proj"),
        *entries.LAYER_NORMS,
    ),
)
