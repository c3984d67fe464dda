"""GPT-NeoX (arXiv 2204.06745) and Pythia (arXiv 2304.01373): parallel residual, a quarter of each head rotated."""

from lmcraft.model.families import common
from lmcraft.model.families.family import Family, Field, Weight
from lmcraft.model.families.layouts import BY_HEAD

GELU = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}


def _weight_and_bias(hf: str, ours: str) -> tuple[Weight, ...]:
    return tuple(Weight(f"gpt_neox.{hf}.{part}", (f"{ours}.{part}",)) for part in ("weight", "bias"))


GPT_NEOX = Family(
    model_type="gpt_neox",
    architecture="GPTNeoXForCausalLM",
    fields=(
        Field("vocab_size", "vocab_size", 50432),
        Field("max_position_embeddings", "max_position_embeddings", 2048),
        Field("hidden_size", "hidden_size", 6144),
        Field("intermediate_size", "intermediate_size", 24576),
        Field("num_hidden_layers", "num_hidden_layers", 44),
        Field("num_attention_heads", "num_attention_heads", 64),
        Field("layer_norm_eps", "norm_eps", 1e-5),
        Field("hidden_act", "feed_forward", "gelu", GELU),
        Field("use_parallel_residual", "parallel_residual", True),
        Field("attention_bias", "attention_bias", True, common.BIAS),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        Field("hidden_dropout", "residual_dropout", 0.0),
        Field("attention_dropout", "attention_dropout", 0.0),
        common.Rotary(
            types=("default", "linear", "yarn"), theta_key="rotary_emb_base", partial_key="rotary_pct", partial=0.25
        ),
    ),
    implied=lambda config: {
        "num_key_value_heads": config.num_attention_heads,
        "head_dim": common.head_width(vars(config)),
        "norm": "layernorm",
        "position": "rotary",
        "qk_norm": False,
        "mlp_bias": True,
        "embedding_dropout": config.residual_dropout,
    },
    weights=(
        Weight("gpt_neox.embed_in.weight", ("embed_tokens.weight",)),
        *_weight_and_bias("layers.{i}.input_layernorm", "layers.{i}.attention_norm"),
        *_weight_and_bias("layers.{i}.post_attention_layernorm", "layers.{i}.feed_forward_norm"),
        Weight(
            "gpt_neox.layers.{i}.attention.query_key_value.weight",
            tuple(f"layers.{{i}}.attention.{p}_proj.weight" for p in "qkv"),
            layout=BY_HEAD,
        ),
        Weight(
            "gpt_neox.layers.{i}.attention.query_key_value.bias",
            tuple(f"layers.{{i}}.attention.{p}_proj.bias" for p in "qkv"),
            layout=BY_HEAD,
            when=common.has_qkv_bias,
        ),
        Weight("gpt_neox.layers.{i}.attention.dense.weight", ("layers.{i}.attention.o_proj.weight",)),
        Weight(
            "gpt_neox.layers.{i}.attention.dense.bias", ("layers.{i}.attention.o_proj.bias",), when=common.has_output_bias
        ),
        *_weight_and_bias("layers.{i}.mlp.dense_h_to_4h", "layers.{i}.feed_forward.up_proj"),
        *_weight_and_bias("layers.{i}.mlp.dense_4h_to_h", "layers.{i}.feed_forward.down_proj"),
        *_weight_and_bias("final_layer_norm", "norm"),
        Weight("embed_out.weight", ("lm_head.weight",), when=common.is_untied),
    ),
    optional_prefix="gpt_neox.",
)
