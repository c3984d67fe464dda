"""OPT (arXiv 2205.01068): ReLU, learned positions that begin at the third row of their table."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family, Field, Weight

LAYER = "model.decoder.layers.{i}."


def _refuse(hf_config: Mapping[str, Any]) -> str | None:
    width, hidden = hf_config.get("word_embed_proj_dim"), hf_config.get("hidden_size", 768)
    if width not in (None, hidden):
        return f"word_embed_proj_dim={width} with hidden_size={hidden}"
    return "_remove_final_layer_norm=True" if hf_config.get("_remove_final_layer_norm") else None


def _has_final_norm(config: TransformerConfig, layer: int) -> bool:
    return config.norm_weight and config.final_norm


def _norms(post: str, when: Any) -> tuple[Weight, ...]:
    return (
        *entries.norm_weights(f"{LAYER}self_attn_layer_norm", f"layers.{{i}}.attention{post}_norm", when=when),
        *entries.norm_weights(f"{LAYER}final_layer_norm", f"layers.{{i}}.feed_forward{post}_norm", when=when),
    )


OPT = Family(
    model_type="opt",
    architecture="OPTForCausalLM",
    fields=(
        Field("vocab_size", "vocab_size", 50272),
        Field("max_position_embeddings", "max_position_embeddings", 2048),
        Field("hidden_size", "hidden_size", 768),
        Field("ffn_dim", "intermediate_size", 3072),
        Field("num_hidden_layers", "num_hidden_layers", 12),
        Field("num_attention_heads", "num_attention_heads", 12),
        Field("do_layer_norm_before", "norm_placement", True, {True: "before", False: "sum"}),
        Field("activation_function", "feed_forward", "relu", entries.UNGATED),
        Field("enable_bias", "attention_bias", True, common.BIAS),
        Field("enable_bias", "mlp_bias", True),
        Field("layer_norm_elementwise_affine", "norm_weight", True),
        Field("tie_word_embeddings", "tie_word_embeddings", True),
        Field("dropout", "residual_dropout", 0.1),
        Field("attention_dropout", "attention_dropout", 0.0),
    ),
    implied=lambda config: {
        **entries.equal_heads(config),
        "norm": "layernorm",
        "norm_eps": 1e-5,
        "norm_bias": config.norm_weight,
        "final_norm": config.norm_placement == "before",
        "position": "learned",
        "position_offset": 2,
        "qk_norm": False,
    },
    refuse=_refuse,
    weights=(
        Weight("model.decoder.embed_tokens.weight", ("embed_tokens.weight",)),
        Weight("model.decoder.embed_positions.weight", ("embed_positions.weight",)),
        *entries.renamed(
            common.ATTENTION[:-2], {"model.layers": "model.decoder.layers", "self_attn.o_proj": "self_attn.out_proj"}
        ),
        *entries.renamed(entries.ungated("fc1", "fc2"), {"model.layers": "model.decoder.layers"}),
        *_norms("", lambda config, layer: config.norm_weight and config.norm_placement == "before"),
        *_norms("_post", lambda config, layer: config.norm_weight and config.norm_placement == "sum"),
        *entries.norm_weights("model.decoder.final_layer_norm", "norm", when=_has_final_norm),
        Weight("lm_head.weight", ("lm_head.weight",), when=common.is_untied),
    ),
    optional_prefix="model.",
)
