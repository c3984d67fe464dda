"""Encoders: BERT (arXiv 1810.04805), RoBERTa (arXiv 1907.11692) and its relatives, and ModernBERT (arXiv 2412.13663).

Their heads (pooler, masked language model) are left out: embeddings and classifiers are made of the hidden states.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common
from lmcraft.model.families.family import Entry, Family, Field, Weight

GELU = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "silu": "silu"}
ENCODER = {"bidirectional": True, "norm": "layernorm", "qk_norm": False, "embedding_norm": True, "tie_word_embeddings": True}


def _equal_heads(config: TransformerConfig) -> dict[str, Any]:
    return {"num_key_value_heads": config.num_attention_heads, "head_dim": common.head_width(vars(config))}


def _pair(hf: str, ours: str, **options: Any) -> tuple[Weight, Weight]:
    return Weight(f"{hf}.weight", (f"{ours}.weight",), **options), Weight(f"{hf}.bias", (f"{ours}.bias",), **options)


def _refuse(hf_config: Mapping[str, Any]) -> str | None:
    kind = hf_config.get("position_embedding_type") or "absolute"
    if kind != "absolute":
        return f"position_embedding_type={kind!r}"
    return next((f"{key}=true" for key in ("is_decoder", "add_cross_attention") if hf_config.get(key)), None)


@dataclass(frozen=True)
class PositionsAfterPadding:
    """RoBERTa: the table of positions begins with rows for padding, up to that of `pad_token_id`."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        offset = hf_config.get("pad_token_id", 1) + 1
        return {"position_offset": offset, "max_position_embeddings": hf_config.get("max_position_embeddings", 512) - offset}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config["max_position_embeddings"] = config.max_position_embeddings + config.position_offset
        hf_config["pad_token_id"] = config.position_offset - 1


def _bert(model_type: str, architecture: str, prefix: str, vocab_size: int, positions: Entry, eps: float) -> Family:
    layer = f"{prefix}encoder.layer.{{i}}"
    return Family(
        model_type=model_type,
        architecture=architecture,
        fields=(
            Field("vocab_size", "vocab_size", vocab_size),
            positions,
            Field("hidden_size", "hidden_size", 768),
            Field("intermediate_size", "intermediate_size", 3072),
            Field("num_hidden_layers", "num_hidden_layers", 12),
            Field("num_attention_heads", "num_attention_heads", 12),
            Field("layer_norm_eps", "norm_eps", eps),
            Field("hidden_act", "feed_forward", "gelu", GELU),
            Field("type_vocab_size", "token_types", 2),
            Field("hidden_dropout_prob", "residual_dropout", 0.1),
            Field("attention_probs_dropout_prob", "attention_dropout", 0.1),
        ),
        implied=lambda config: {
            **ENCODER,
            **_equal_heads(config),
            **{"position": "learned", "norm_placement": "sum", "final_norm": False, "attention_bias": "all"},
            **{"mlp_bias": True, "embedding_dropout": config.residual_dropout},
        },
        refuse=_refuse,
        optional_prefix=prefix,
        unused=rf"({prefix})?pooler\..*|cls\..*|lm_head\..*|({prefix})?embeddings\.position_ids",
        renamed=(("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")),
        weights=(
            Weight(f"{prefix}embeddings.word_embeddings.weight", ("embed_tokens.weight",)),
            Weight(f"{prefix}embeddings.position_embeddings.weight", ("embed_positions.weight",)),
            Weight(f"{prefix}embeddings.token_type_embeddings.weight", ("embed_types.weight",)),
            *_pair(f"{prefix}embeddings.LayerNorm", "embed_norm"),
            *(
                weight
                for hf, p in (("query", "q"), ("key", "k"), ("value", "v"))
                for weight in _pair(f"{layer}.attention.self.{hf}", f"layers.{{i}}.attention.{p}_proj")
            ),
            *_pair(f"{layer}.attention.output.dense", "layers.{i}.attention.o_proj"),
            *_pair(f"{layer}.attention.output.LayerNorm", "layers.{i}.attention_post_norm"),
            *_pair(f"{layer}.intermediate.dense", "layers.{i}.feed_forward.up_proj"),
            *_pair(f"{layer}.output.dense", "layers.{i}.feed_forward.down_proj"),
            *_pair(f"{layer}.output.LayerNorm", "layers.{i}.feed_forward_post_norm"),
        ),
    )


BERT = _bert(
    "bert", "BertModel", "bert.", 30522, Field("max_position_embeddings", "max_position_embeddings", 512), eps=1e-12
)
ROBERTA = _bert("roberta", "RobertaModel", "roberta.", 50265, PositionsAfterPadding(), eps=1e-12)
XLM_ROBERTA = _bert("xlm-roberta", "XLMRobertaModel", "roberta.", 30522, PositionsAfterPadding(), eps=1e-12)
CAMEMBERT = _bert("camembert", "CamembertModel", "roberta.", 30522, PositionsAfterPadding(), eps=1e-12)


TYPES = ("full_attention", "sliding_attention")


@dataclass(frozen=True)
class LocalAttention:
    """ModernBERT: `local_attention` is the width of the window around a token of sliding layers, two of three by default."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        every, layers = hf_config.get("global_attn_every_n_layers", 3), range(read_so_far["num_hidden_layers"])
        by_rule = ["sliding_attention" if layer % every else "full_attention" for layer in layers]
        return {
            "sliding_window": hf_config.get("local_attention", 128) // 2 + 1,
            "layer_types": tuple(common.per_layer(hf_config, "layer_types", len(layers), TYPES) or by_rule),
        }

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config["local_attention"] = 2 * (config.sliding_window - 1)
        hf_config["layer_types"] = [config.layer_type(layer) for layer in range(config.num_hidden_layers)]


def _has_norm_bias(config: TransformerConfig, layer: int) -> bool:
    return config.norm_bias


def _norm(hf: str, ours: str, *, first: bool = True) -> tuple[Weight, Weight]:
    return (
        Weight(f"{hf}.weight", (f"{ours}.weight",), when=lambda config, layer: first or layer > 0),
        Weight(f"{hf}.bias", (f"{ours}.bias",), when=lambda config, layer: config.norm_bias and (first or layer > 0)),
    )


def _projection(hf: str, ours: tuple[str, ...], has_bias: Any) -> tuple[Weight, Weight]:
    names = [f"layers.{{i}}.{name}" for name in ours]
    hf = f"model.layers.{{i}}.{hf}"
    return (
        Weight(f"{hf}.weight", tuple(f"{name}.weight" for name in names)),
        Weight(f"{hf}.bias", tuple(f"{name}.bias" for name in names), when=has_bias),
    )


MODERNBERT = Family(
    model_type="modernbert",
    architecture="ModernBertModel",
    fields=(
        Field("vocab_size", "vocab_size", 50368),
        Field("max_position_embeddings", "max_position_embeddings", 8192),
        Field("hidden_size", "hidden_size", 768),
        Field("intermediate_size", "intermediate_size", 1152),
        Field("num_hidden_layers", "num_hidden_layers", 22),
        Field("num_attention_heads", "num_attention_heads", 12),
        Field("norm_eps", "norm_eps", 1e-5),
        Field("norm_bias", "norm_bias", False),
        Field("hidden_activation", "feed_forward", "gelu", {"gelu": "geglu", "gelu_pytorch_tanh": "geglu_tanh"}),
        Field("attention_bias", "attention_bias", False, common.BIAS),
        Field("mlp_bias", "mlp_bias", False),
        Field("attention_dropout", "attention_dropout", 0.0),
        Field("embedding_dropout", "embedding_dropout", 0.0),
        LocalAttention(),
        common.LocalRotary(theta=160_000.0, types=("default",), theta_key="global_rope_theta", local_key="local_rope_theta"),
    ),
    implied=lambda config: {**ENCODER, **_equal_heads(config), "position": "rotary", "first_norm": False},
    optional_prefix="model.",
    unused=r"head\..*|decoder\..*",
    weights=(
        Weight("model.embeddings.tok_embeddings.weight", ("embed_tokens.weight",)),
        *_norm("model.embeddings.norm", "embed_norm"),
        *_norm("model.layers.{i}.attn_norm", "layers.{i}.attention_norm", first=False),
        *_projection("attn.Wqkv", tuple(f"attention.{p}_proj" for p in "qkv"), common.has_qkv_bias),
        *_projection("attn.Wo", ("attention.o_proj",), common.has_output_bias),
        *_norm("model.layers.{i}.mlp_norm", "layers.{i}.feed_forward_norm"),
        *_projection("mlp.Wi", ("feed_forward.gate_proj", "feed_forward.up_proj"), common.has_mlp_bias),
        *_projection("mlp.Wo", ("feed_forward.down_proj",), common.has_mlp_bias),
        *_norm("model.final_norm", "norm"),
    ),
)
