"""GPT-2 (Radford et al. 2019): LayerNorm, learned positions, GELU, biases everywhere; matrices stored as (in, out)."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families.common import is_untied
from lmcraft.model.families.family import Family, Field, Weight


def _implied(config: TransformerConfig) -> Mapping[str, Any]:
    heads = config.num_attention_heads
    return {
        "num_key_value_heads": heads,
        "head_dim": config.hidden_size // heads if heads else 0,
        "norm": "layernorm",
        "position": "learned",
        "qk_norm": False,
        "attention_bias": "all",
        "mlp_bias": True,
    }


def _refuse(hf_config: Mapping[str, Any]) -> str | None:
    is_usual = hf_config.get("scale_attn_weights", True) and not hf_config.get("scale_attn_by_inverse_layer_idx")
    return None if is_usual else "an attention scale other than 1 / sqrt(d)"


def _projection(hf: str, *ours: str) -> tuple[Weight, Weight]:
    names = [f"layers.{{i}}.{name}" for name in ours]
    return (
        Weight(f"transformer.h.{{i}}.{hf}.weight", tuple(f"{name}.weight" for name in names), transposed=True),
        Weight(f"transformer.h.{{i}}.{hf}.bias", tuple(f"{name}.bias" for name in names)),
    )


def _norm(hf: str, ours: str) -> tuple[Weight, Weight]:
    return Weight(f"{hf}.weight", (f"{ours}.weight",)), Weight(f"{hf}.bias", (f"{ours}.bias",))


GPT2 = Family(
    model_type="gpt2",
    architecture="GPT2LMHeadModel",
    fields=(
        Field("vocab_size", "vocab_size", 50257),
        Field("n_positions", "max_position_embeddings", 1024),
        Field("n_embd", "hidden_size", 768),
        Field("n_layer", "num_hidden_layers", 12),
        Field("n_head", "num_attention_heads", 12),
        Field("n_inner", "intermediate_size", lambda read: 4 * read["hidden_size"]),
        Field("layer_norm_epsilon", "norm_eps", 1e-5),
        Field(
            "activation_function",
            "feed_forward",
            "gelu_tanh",
            {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu", "relu2": "relu2"},
        ),
        Field("tie_word_embeddings", "tie_word_embeddings", True),
        Field("embd_pdrop", "embedding_dropout", 0.1),
        Field("attn_pdrop", "attention_dropout", 0.1),
        Field("resid_pdrop", "residual_dropout", 0.1),
    ),
    implied=_implied,
    refuse=_refuse,
    weights=(
        Weight("transformer.wte.weight", ("embed_tokens.weight",)),
        Weight("transformer.wpe.weight", ("embed_positions.weight",)),
        *_norm("transformer.h.{i}.ln_1", "layers.{i}.attention_norm"),
        *_projection("attn.c_attn", "attention.q_proj", "attention.k_proj", "attention.v_proj"),
        *_projection("attn.c_proj", "attention.o_proj"),
        *_norm("transformer.h.{i}.ln_2", "layers.{i}.feed_forward_norm"),
        *_projection("mlp.c_fc", "feed_forward.up_proj"),
        *_projection("mlp.c_proj", "feed_forward.down_proj"),
        *_norm("transformer.ln_f", "norm"),
        Weight("lm_head.weight", ("lm_head.weight",), when=is_untied),
    ),
    optional_prefix="transformer.",
)
