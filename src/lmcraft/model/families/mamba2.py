"""Mamba-2 (arXiv 2405.21060): a state-space mixer in each block, and nothing else."""

from lmcraft.model.families.common import is_untied
from lmcraft.model.families.family import Family, Field, Weight
from lmcraft.model.families.recurrent import MambaHeads, TimeStepLimit, mamba_weights

MAX_TOKENS = 2**20  # the model has no limit, but a configuration must have one

MAMBA2 = Family(
    model_type="mamba2",
    architecture="Mamba2ForCausalLM",
    fields=(
        Field("vocab_size", "vocab_size", 32768),
        Field("hidden_size", "hidden_size", 4096),
        Field("num_hidden_layers", "num_hidden_layers", 64),
        Field("max_position_embeddings", "max_position_embeddings", MAX_TOKENS),
        MambaHeads("num_heads", "head_dim", "expand", default_width=64),
        Field("state_size", "mamba.state_size", 128),
        Field("n_groups", "mamba.n_groups", 8),
        Field("conv_kernel", "mamba.conv_kernel", 4),
        Field("chunk_size", "mamba.chunk_size", 256),
        Field("use_conv_bias", "mamba.use_conv_bias", True),
        Field("use_bias", "mamba.use_bias", False),
        TimeStepLimit(),
        Field("hidden_act", "feed_forward", "silu", {"silu": "swiglu", "swish": "swiglu"}),
        Field("layer_norm_epsilon", "norm_eps", 1e-5),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
    ),
    implied=lambda config: {
        "layer_types": ("mamba",) * config.num_hidden_layers,
        "single_sublayer": True,
        "norm": "rmsnorm",
        "position": "none",
        "mamba.use_output_bias": config.mamba.use_bias,
        # There is no attention, and no feed-forward layer.
        **dict.fromkeys(("num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size"), 1),
    },
    weights=(
        Weight("backbone.embeddings.weight", ("embed_tokens.weight",)),
        Weight("backbone.norm_f.weight", ("norm.weight",)),
        Weight("lm_head.weight", ("lm_head.weight",), when=is_untied),
        Weight("backbone.layers.{i}.norm.weight", ("layers.{i}.attention_norm.weight",)),
        *mamba_weights("backbone.layers.{i}.mixer"),
    ),
    optional_prefix="backbone.",
)
