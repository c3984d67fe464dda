"""Which parts of a Transformer the native step computes, and the name of the first part that it does not."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from lmcraft.inference.native.structs import ACTIVATIONS, NORM_SPANS
from lmcraft.model.config import TransformerConfig
from lmcraft.model.parts import Multipliers, RopeScaling

COMPUTED_LAYERS = ("full_attention", "sliding_attention")


def _is_any(value: object) -> bool:
    return True


def _is_in_tables(scaling: RopeScaling) -> bool:
    """Whether the rotary tables hold all there is to know: they do not depend on the length of the text."""
    return scaling.rope_type in ("default", "linear", "dynamic", "llama3", "yarn")


def _are_computed(multipliers: Multipliers) -> bool:
    return replace(multipliers, embedding=1.0, residual=1.0, attention=0.0, logits=1.0) == Multipliers()


# The fields that the step reads, each with the values that it computes. Any other field must have its default.
COMPUTED: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("family", "vocab_size", "max_position_embeddings", "hidden_size", "num_hidden_layers"), _is_any),
    **dict.fromkeys(("num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size"), _is_any),
    **dict.fromkeys(("norm_eps", "norm_weight", "norm_bias", "shared_norm", "final_norm", "embedding_norm"), _is_any),
    **dict.fromkeys(
        ("rope_theta", "partial_rotary_factor", "sliding_window", "rope_local_theta", "no_rope_layers"), _is_any
    ),
    **dict.fromkeys(("position_offset", "query_scaling", "scale_embeddings"), _is_any),
    **dict.fromkeys(("parallel_residual", "qk_norm", "qk_norm_kind", "qk_norm_after_rotary", "sub_norm"), _is_any),
    **dict.fromkeys(("attention_sinks", "attn_logit_softcapping", "final_logit_softcapping", "clip_qkv"), _is_any),
    **dict.fromkeys(("query_pre_attn_scalar", "tie_word_embeddings", "head_bias", "attention_bias", "mlp_bias"), _is_any),
    **dict.fromkeys(("embedding_dropout", "attention_dropout", "residual_dropout", "swiglu_limit"), _is_any),
    **dict.fromkeys(("num_experts_per_tok", "moe_intermediate_size", "norm_topk_prob", "mlp_only_layers"), _is_any),
    "norm": {"layernorm", "layernorm1p", "rmsnorm", "gemma_rmsnorm"}.__contains__,
    "norm_placement": {"before", "after", "both", "sum"}.__contains__,
    "position": {"learned", "rotary", "alibi", "none"}.__contains__,
    "feed_forward": ACTIVATIONS.__contains__,
    "multipliers": _are_computed,
    "rope_scaling": _is_in_tables,
    "layer_types": set(COMPUTED_LAYERS).issuperset,
    "qk_norm_over": NORM_SPANS.__contains__,
}
# What else to say of a field than its name.
REASONS: dict[str, str | Callable[[Any], str]] = {
    "attention_gate": "its attention has an output gate",
    "bidirectional": "it is an encoder, which writes no text",
    "num_experts": "it has a mixture of experts",
    "rope_scaling": lambda scaling: f"it has rotary positions scaled by {scaling.rope_type!r}",
    "latent_attention": "it has multi-head latent attention (MLA)",
    "layer_types": lambda types: f"it has {_name_of(next(name for name in types if name not in COMPUTED_LAYERS))}",
    "single_sublayer": "its blocks have a single sub-layer",
    "feed_forward": lambda name: f"it has the activation {name!r}",
    "norm": lambda name: f"it has the norm {name!r}",
    "position": lambda name: f"it has {name!r} positions",
}
_LAYER_NAMES = {
    "linear_attention": "linear attention (gated delta rule)",
    "mamba": "Mamba layers",
    "hybrid": "Mamba layers beside its attention",
    "conv": "short convolutions",
    "chunked_attention": "chunked attention",
    "feed_forward": "layers without a mixer",
}


def missing_part(config: TransformerConfig) -> str:
    """Which part of a model the native step lacks, as in "it has a mixture of experts"; empty if it has all."""
    default = TransformerConfig()
    first = ("bidirectional", "layer_types")  # these say the most
    names = sorted((item.name for item in fields(config)), key=lambda name: name not in first)
    for name in names:
        value = getattr(config, name)
        if value == getattr(default, name) or COMPUTED.get(name, lambda _: False)(value):
            continue
        reason = REASONS.get(name, f"it has {name.replace('_', ' ')}")
        return reason if isinstance(reason, str) else reason(value)
    if config.parallel_residual and config.norm_placement != "before":
        return "it has parallel sub-layers with norms of their outputs"
    if config.qk_norm and config.clip_qkv and config.qk_norm_over != "projection":
        return "it clips queries and keys after a QK norm of each head"
    if config.qk_norm and config.qk_norm_after_rotary and config.qk_norm_over == "projection":
        return "it has a QK norm over all heads together after the rotation"
    return ""


def _name_of(layer_type: str) -> str:
    return _LAYER_NAMES.get(layer_type, f"layers of type {layer_type!r}")
