"""Entries that several families share: sizes, rotary positions, sliding windows, and Llama's weight names."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.model.families.family import Field, Weight
from lmcraft.model.families.layouts import ROTARY_PAIRS
from lmcraft.model.parts import RopeScaling

PLAIN = {"norm": "rmsnorm", "position": "rotary", "qk_norm": False}
BIAS = {True: "all", False: "none"}
SILU = {"silu": "swiglu", "swish": "swiglu", "gelu_pytorch_tanh": "geglu_tanh"}
# The fields of `RopeScaling` that each scaling type uses; only these are written.
SCALING_KEYS = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor", "alpha"),
    "llama3": ("factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"),
    "yarn": (
        "factor",
        "original_max_position_embeddings",
        "attention_factor",
        "beta_fast",
        "beta_slow",
        "mscale",
        "mscale_all_dim",
        "truncate",
    ),
    "longrope": ("factor", "original_max_position_embeddings", "attention_factor", "short_factor", "long_factor"),
}
REQUIRED = ("factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor")
# Type names of earlier releases.
OLDER_TYPES = {"su": "longrope"}


@dataclass(frozen=True)
class Rotary:
    """Base, rotated share and scaling of rotary positions.

    Transformers 5 stores them in `rope_parameters`, earlier releases in `rope_theta`, `rope_scaling` and similar keys. Both
    forms are read, and both are written.
    """

    theta: float = 10000.0
    """Base if the key is missing."""
    types: tuple[str, ...] = ("default", "linear", "llama3", "yarn", "longrope")
    """Scaling types that the family supports."""
    theta_key: str = "rope_theta"
    """Key of the base in earlier releases."""
    partial_key: str = "partial_rotary_factor"
    """Key of the rotated share in earlier releases."""
    partial: float = 1.0
    """Rotated share if the key is missing."""
    missing: Mapping[str, Any] = field(default_factory=dict)
    """The `rope_parameters` of a config.json that says nothing of them."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        rope = self._rope_parameters(hf_config)
        theta = rope.get("rope_theta", hf_config.get(self.theta_key))
        share = rope.get("partial_rotary_factor", hf_config.get(self.partial_key))
        return {
            "rope_theta": self.theta if theta is None else theta,
            "partial_rotary_factor": self.partial if share is None else share,
            "rope_scaling": self._scaling(rope, hf_config, read_so_far["max_position_embeddings"]),
        }

    def _rope_parameters(self, hf_config: Mapping[str, Any]) -> Mapping[str, Any]:
        rope: Mapping[str, Any] = hf_config.get("rope_scaling") or hf_config.get("rope_parameters") or {}
        return rope or ({} if hf_config.get(self.theta_key) else self.missing)

    def _scaling(self, rope: Mapping[str, Any], hf_config: Mapping[str, Any], max_position_embeddings: int) -> RopeScaling:
        kind: Any = rope.get("rope_type", rope.get("type"))
        kind = "default" if kind is None and "factor" not in rope else kind
        kind = OLDER_TYPES.get(kind, kind)
        if kind not in self.types:
            raise UserError(
                f"config.json: rotary scaling type {kind!r} is not supported for this family; "
                f"supported: {', '.join(self.types)}"
            )
        values = {key: rope[key] for key in SCALING_KEYS[kind] if rope.get(key) is not None}
        if "original_max_position_embeddings" in SCALING_KEYS[kind]:
            # Phi 3 keeps it outside `rope_scaling`, where it takes precedence.
            length = hf_config.get("original_max_position_embeddings")
            length = length or values.get("original_max_position_embeddings") or max_position_embeddings
            values["original_max_position_embeddings"] = length
            if kind == "longrope":
                values.setdefault("factor", max_position_embeddings / length)
        if "truncate" in rope and kind == "yarn":
            values["truncate"] = bool(rope["truncate"])  # null is false, as in transformers
        for key in ("short_factor", "long_factor"):
            if key in values:
                values[key] = tuple(values[key])
        return RopeScaling(rope_type=kind, **values)

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        scaling = self._scaling_json(config)
        hf_config[self.theta_key] = config.rope_theta
        hf_config["rope_scaling"] = scaling if config.rope_scaling.rope_type != "default" else None
        hf_config["rope_parameters"] = scaling | {"rope_theta": config.rope_theta}
        if self.partial != 1.0 or config.partial_rotary_factor != 1.0:
            hf_config[self.partial_key] = config.partial_rotary_factor
            hf_config["rope_parameters"]["partial_rotary_factor"] = config.partial_rotary_factor

    def _scaling_json(self, config: TransformerConfig) -> dict[str, Any]:
        scaling, plain = config.rope_scaling, RopeScaling()
        written: dict[str, Any] = {"rope_type": scaling.rope_type}
        for key in SCALING_KEYS[scaling.rope_type]:
            value = getattr(scaling, key)
            if value != getattr(plain, key) or key in REQUIRED:
                written[key] = list(value) if isinstance(value, tuple) else value
        return written


@dataclass(frozen=True)
class LocalRotary(Rotary):
    """Gemma 3: full-attention layers have one base, with scaling; sliding layers have another base, without scaling."""

    theta: float = 1_000_000.0
    local_theta: float = 10_000.0
    local_key: str = "rope_local_base_freq"
    """Key of the other base in earlier releases."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        local = (hf_config.get("rope_parameters") or {}).get("sliding_attention") or {}
        theta = local.get("rope_theta", hf_config.get(self.local_key))
        return {**super().read(hf_config, read_so_far), "rope_local_theta": self.local_theta if theta is None else theta}

    def _rope_parameters(self, hf_config: Mapping[str, Any]) -> Mapping[str, Any]:
        full = (hf_config.get("rope_parameters") or {}).get("full_attention") or {}
        return {**full, **(hf_config.get("rope_scaling") or {})}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        super().write(config, hf_config)
        hf_config[self.local_key] = config.rope_local_theta
        hf_config["rope_parameters"] = {
            "full_attention": hf_config["rope_parameters"],
            "sliding_attention": {"rope_type": "default", "rope_theta": config.rope_local_theta},
        }


def per_layer(hf_config: Mapping[str, Any], key: str, layers: int, choices: Collection[Any]) -> list[Any]:
    """A key that lists a choice for each layer; empty if config.json lacks it.

    Raises:
        UserError: it has another length, or something else than the choices.
    """
    values = hf_config.get(key)
    if values is None or values == []:
        return []
    fits = isinstance(values, list | tuple) and len(values) == layers
    if not fits or any(isinstance(value, list | dict) or value not in choices for value in values):
        names = ", ".join(dict.fromkeys(map(str, choices)))
        raise UserError(f"config.json: {key} must have {layers} entries, one per layer, each of {names}")
    return list(values)


@dataclass(frozen=True)
class Window:
    """`sliding_window` for all layers; null means full attention."""

    default: int = 0
    """Window if the key is missing."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"sliding_window": hf_config.get("sliding_window", self.default) or 0}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config["sliding_window"] = config.sliding_window or None


@dataclass(frozen=True)
class LayeredWindow:
    """`sliding_window` for the layers that `layer_types` marks as sliding."""

    default: int
    """Window if the key is missing."""
    layer_types: Callable[[Mapping[str, Any], int], list[str]]
    """Layer types if the key is missing, from config.json and the number of layers."""
    switch: str = ""
    """Key that must be true for any layer to slide; empty: none."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        window, layers = hf_config.get("sliding_window", self.default), read_so_far["num_hidden_layers"]
        types = per_layer(hf_config, "layer_types", layers, ("full_attention", "sliding_attention"))
        is_off = self.switch != "" and not hf_config.get(self.switch)
        if not is_off and not window and "sliding_attention" in types:
            raise UserError(f"config.json: layer_types has sliding layers, but sliding_window={window}; set the window")
        types = types or self.layer_types(hf_config, layers)
        if is_off or not window or "sliding_attention" not in types:
            return {"sliding_window": 0, "layer_types": ()}
        return {"sliding_window": window, "layer_types": () if set(types) == {"sliding_attention"} else tuple(types)}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        sliding = [config.is_sliding(layer) for layer in range(config.num_hidden_layers)]
        hf_config["sliding_window"] = config.sliding_window or None
        hf_config["layer_types"] = ["sliding_attention" if slides else "full_attention" for slides in sliding]
        if self.switch:
            hf_config[self.switch] = any(sliding)
            hf_config["max_window_layers"] = sliding.index(True) if any(sliding) else config.num_hidden_layers


def by_max_window_layers(hf_config: Mapping[str, Any], layers: int) -> list[str]:
    """Qwen's rule: the first `max_window_layers` layers use full attention."""
    full = hf_config.get("max_window_layers", 28)
    return ["full_attention" if layer < full else "sliding_attention" for layer in range(layers)]


def sizes(
    vocab_size: int,
    max_position_embeddings: int,
    hidden_size: int,
    intermediate_size: int,
    num_hidden_layers: int,
    num_attention_heads: int,
    num_key_value_heads: int | None = None,
    head_dim: int | None = None,
) -> tuple[Field, ...]:
    """The sizes under Llama's keys, with defaults; None: as many key-value heads as query heads, equal head widths."""
    return (
        Field("vocab_size", "vocab_size", vocab_size),
        Field("max_position_embeddings", "max_position_embeddings", max_position_embeddings),
        Field("hidden_size", "hidden_size", hidden_size),
        Field("intermediate_size", "intermediate_size", intermediate_size),
        Field("num_hidden_layers", "num_hidden_layers", num_hidden_layers),
        Field("num_attention_heads", "num_attention_heads", num_attention_heads),
        Field(
            "num_key_value_heads", "num_key_value_heads", num_key_value_heads or (lambda read: read["num_attention_heads"])
        ),
        Field("head_dim", "head_dim", head_dim or head_width),
    )


def head_width(read: Mapping[str, Any]) -> int:
    """hidden_size / num_attention_heads."""
    return int(read["hidden_size"] // read["num_attention_heads"])


# These families have no embedding or residual dropout; transformers keeps those two keys without reading them.
DROPOUTS = (
    Field("embd_pdrop", "embedding_dropout", 0.0),
    Field("resid_pdrop", "residual_dropout", 0.0),
    Field("attention_dropout", "attention_dropout", 0.0),
)


def is_untied(config: TransformerConfig, layer: int) -> bool:
    return not config.tie_word_embeddings


def has_qkv_bias(config: TransformerConfig, layer: int) -> bool:
    return config.attention_bias in ("qkv", "all")


def has_output_bias(config: TransformerConfig, layer: int) -> bool:
    return config.attention_bias in ("output", "all")


def has_mlp_bias(config: TransformerConfig, layer: int) -> bool:
    return config.mlp_bias


def is_dense(config: TransformerConfig, layer: int) -> bool:
    return not config.has_experts(layer)


def is_serial(config: TransformerConfig, layer: int) -> bool:
    return not config.parallel_residual


def has_post_norm(config: TransformerConfig, layer: int) -> bool:
    return config.norm_placement != "before"


def has_qk_norm(config: TransformerConfig, layer: int) -> bool:
    return config.qk_norm and config.qk_norm_kind != "unweighted"


def layer_weight(hf: str, ours: str, **options: Any) -> Weight:
    """One tensor per layer, under Llama's names."""
    return Weight(f"model.layers.{{i}}.{hf}", (f"layers.{{i}}.{ours}",), **options)


EMBEDDINGS = (
    Weight("model.embed_tokens.weight", ("embed_tokens.weight",)),
    Weight("model.norm.weight", ("norm.weight",)),
    Weight("lm_head.weight", ("lm_head.weight",), when=is_untied),
)


ATTENTION = (
    *(layer_weight(f"self_attn.{p}_proj.weight", f"attention.{p}_proj.weight") for p in "qkvo"),
    *(layer_weight(f"self_attn.{p}_proj.bias", f"attention.{p}_proj.bias", when=has_qkv_bias) for p in "qkv"),
    layer_weight("self_attn.o_proj.bias", "attention.o_proj.bias", when=has_output_bias),
    *(layer_weight(f"self_attn.{p}_norm.weight", f"attention.{p}_norm.weight", when=has_qk_norm) for p in "qk"),
)
# The two coordinates of a rotary angle next to each other.
INTERLEAVED_ATTENTION = tuple(
    replace(weight, layout=ROTARY_PAIRS) if ".q_proj." in weight.hf or ".k_proj." in weight.hf else weight
    for weight in ATTENTION
)
MLP = (
    *(layer_weight(f"mlp.{p}_proj.weight", f"feed_forward.{p}_proj.weight", when=is_dense) for p in ("gate", "up", "down")),
    *(layer_weight(f"mlp.{p}_proj.bias", f"feed_forward.{p}_proj.bias", when=has_mlp_bias) for p in ("gate", "up", "down")),
)
NORMS = (
    layer_weight("input_layernorm.weight", "attention_norm.weight"),
    layer_weight("post_attention_layernorm.weight", "feed_forward_norm.weight"),
)
