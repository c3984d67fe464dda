"""GPT-2, GPT-NeoX, and others with LayerNorm and ungated feed-forward parts."""

from lmcraft.gguf.architecture import Architecture, Key
from lmcraft.gguf.architectures import common
from lmcraft.gguf.architectures.common import SCALINGS
from lmcraft.gguf.rules import regrouped, transposed

GPT_NEOX = Architecture(
    name="gptneox",
    model_types=("gpt_neox",),
    hf_class="GPTNeoXForCausalLM",
    keys=(
        *common.SIZES,
        Key("attention.layer_norm_epsilon", "layer_norm_eps", "number"),
        Key("use_parallel_residual", "use_parallel_residual", "flag", lambda config: True),
    ),
    rules=(regrouped(r".*\.query_key_value\.(weight|bias)", "num_attention_heads"),),
    fixed={"hidden_act": "gelu", "attention_bias": True},  # llama.cpp uses tanh GELU for either
    scalings=SCALINGS,
    has_head_dim=False,
    square=True,
    theta_key="rotary_emb_base",
    partial_key="rotary_pct",
    partial=0.25,
    writes_rope_width=True,
    needs_output=True,
)
GPT2 = Architecture(
    name="gpt2",
    model_types=("gpt2",),
    hf_class="GPT2LMHeadModel",
    keys=(
        Key("context_length", "n_positions"),
        Key("embedding_length", "n_embd"),
        Key("block_count", "n_layer"),
        Key("feed_forward_length", "n_inner", default=lambda config: 4 * config["n_embd"]),
        Key("attention.head_count", "n_head"),
        Key("attention.layer_norm_epsilon", "layer_norm_epsilon", "number"),
    ),
    rules=(transposed(r".*\.(c_attn|c_proj|c_fc)\.weight"),),
    hidden="n_embd",
    heads="n_head",
    layers="n_layer",
    inner="n_inner",
    fixed={"activation_function": "gelu_new", "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False},
    scalings=(),
    has_head_dim=False,
    square=True,
    tied=True,
)

ARCHITECTURES = (GPT_NEOX, GPT2)
