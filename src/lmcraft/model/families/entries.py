"""What families like Llama share: norm and activation, biases, patterns of windows, multipliers; names of their tensors."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common
from lmcraft.model.families.common import BIAS, SILU, Rotary
from lmcraft.model.families.family import Entry, Field, Weight
from lmcraft.model.families.layouts import Layout
from lmcraft.model.parts import Multipliers
from lmcraft.model.setting_checks import MAX_NUMBER

UNGATED = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "relu2": "relu2",
    "silu": "silu",
    "swish": "silu",
}
UNGATED_TANH = {"gelu_pytorch_tanh": "gelu_tanh", **UNGATED}  # the first name is written
UNSCALED = Multipliers(attention=1.0)


def llama_like(
    *,
    eps: float = 1e-6,
    tied: bool = False,
    act: Field | None = None,
    rotary: Rotary | None = None,
) -> tuple[Entry, ...]:
    """What families like Llama have besides sizes and biases: norm, activation, tied embeddings, rotary positions."""
    return (
        Field("rms_norm_eps", "norm_eps", eps),
        act or Field("hidden_act", "feed_forward", "silu", SILU),
        Field("tie_word_embeddings", "tie_word_embeddings", tied),
        rotary or Rotary(),
        *common.DROPOUTS,
    )


BIASES = (Field("attention_bias", "attention_bias", False, BIAS), Field("mlp_bias", "mlp_bias", False))


@dataclass(frozen=True)
class Ratio:
    """A size as a multiple of another one."""

    hf: str
    ours: str
    unit: str
    """Our field that it is a multiple of."""
    default: int
    """If the key is missing."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        return {self.ours: hf_config.get(self.hf, self.default) * read_so_far[self.unit]}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config[self.hf] = getattr(config, self.ours) // getattr(config, self.unit)


def gpt2_sizes(vocab: int, positions: int, width: int, layers: int, heads: int) -> tuple[Field, ...]:
    """The sizes under GPT-2's keys."""
    return (
        Field("vocab_size", "vocab_size", vocab),
        Field("n_positions", "max_position_embeddings", positions),
        Field("n_embd", "hidden_size", width),
        Field("n_layer", "num_hidden_layers", layers),
        Field("n_head", "num_attention_heads", heads),
        Field("n_inner", "intermediate_size", lambda read: 4 * read["hidden_size"]),
    )


def plain_heads(sizes: Iterable[Field]) -> tuple[Field, ...]:
    """The sizes of a family whose heads have keys of their own and a fixed width, so that it has no keys for these."""
    return tuple(entry for entry in sizes if entry.ours not in ("num_key_value_heads", "head_dim"))


def equal_heads(config: TransformerConfig) -> Mapping[str, Any]:
    """The settings that such a family implies."""
    return {
        "num_key_value_heads": config.num_attention_heads,
        "head_dim": config.hidden_size // max(1, config.num_attention_heads),
    }


def full_every(every: int, key: str = "") -> Callable[[Mapping[str, Any], int], list[str]]:
    """Each so-many-th layer has full attention, the others slide; config.json may say how many, under `key`."""

    def layer_types(hf_config: Mapping[str, Any], layers: int) -> list[str]:
        period = hf_config.get(key, every) if key else every
        return ["sliding_attention" if (layer + 1) % period else "full_attention" for layer in range(layers)]

    return layer_types


def full_first(every: int) -> Callable[[Mapping[str, Any], int], list[str]]:
    """The first layer, and each so-many-th after it, has full attention; the others slide."""
    return lambda hf_config, layers: ["sliding_attention" if n % every else "full_attention" for n in range(layers)]


def full_layers(config: TransformerConfig) -> tuple[int, ...]:
    """The layers that do not slide."""
    return tuple(layer for layer in range(config.num_hidden_layers) if not config.is_sliding(layer))


def llama3(theta: float, factor: float) -> Mapping[str, Any]:
    """Llama 3's `rope_parameters` for models trained with 8192 tokens."""
    lengths = {"original_max_position_embeddings": 8192, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    return {"rope_type": "llama3", "rope_theta": theta, "factor": factor, **lengths}


@dataclass(frozen=True)
class Reciprocal(Field):
    """A number whose reciprocal is ours."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        value = super().read(hf_config, read_so_far)[self.ours]
        if isinstance(value, int | float) and not 0 < abs(value) < MAX_NUMBER:
            raise UserError(f"config.json: {self.hf}={value!r} must be a number other than 0, and finite")
        return {self.ours: 1 / value}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        super().write(config, hf_config)
        hf_config[self.hf] = float(f"{1 / hf_config[self.hf]:.15g}")


class Count(Field):
    """A whole number, or a list of the same number for each layer."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        counts = hf_config.get(self.hf)
        if isinstance(counts, list):
            if len(set(counts)) != 1:
                raise UserError(f"config.json: {self.hf}={counts!r} is not supported; supported: equal numbers")
            hf_config = {**hf_config, self.hf: counts[0]}
        return super().read(hf_config, read_so_far)


@dataclass(frozen=True)
class Inner(Field):
    """A key of a group in config.json."""

    group: str = ""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        return super().read(hf_config.get(self.group) or {}, read_so_far)

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        super().write(config, hf_config.setdefault(self.group, {}))


class Temperature:
    """Llama 4's growth of the queries of layers without rotary positions."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        if not hf_config.get("attn_temperature_tuning", True):
            return {}
        scaling = {"beta": hf_config.get("attn_scale", 0.1), "length": hf_config.get("floor_scale", 8192), "offset": 1}
        return {f"query_scaling.{name}": value for name, value in scaling.items()}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        scaling = config.query_scaling
        hf_config["attn_temperature_tuning"] = scaling.beta > 0
        if scaling.beta:
            hf_config |= {"attn_scale": scaling.beta, "floor_scale": scaling.length}


@dataclass(frozen=True)
class SplitBias:
    """The biases of attention under two keys: those of queries, keys and values, and that of the output."""

    qkv_key: str
    output_key: str
    qkv: bool
    """If the key is missing."""
    output: bool
    """If the key is missing."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        qkv, output = hf_config.get(self.qkv_key, self.qkv), hf_config.get(self.output_key, self.output)
        return {"attention_bias": ("all" if output else "qkv") if qkv else ("output" if output else "none")}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config[self.qkv_key] = config.attention_bias in ("qkv", "all")
        hf_config[self.output_key] = config.attention_bias in ("output", "all")


def renamed(weights: Iterable[Weight], parts: Mapping[str, str]) -> tuple[Weight, ...]:
    """The same tensors with parts of the checkpoint's names replaced."""

    def name(hf: str) -> str:
        for usual, theirs in parts.items():
            hf = hf.replace(usual, theirs)
        return hf

    return tuple(replace(weight, hf=name(weight.hf)) for weight in weights)


def rotated(weights: Iterable[Weight], layout: Layout) -> tuple[Weight, ...]:
    """The same tensors with another layout of queries and keys."""
    return tuple(
        replace(weight, layout=layout) if ".q_proj." in weight.hf or ".k_proj." in weight.hf else weight
        for weight in weights
    )


def ungated(up: str = "mlp.up_proj", down: str = "mlp.down_proj") -> tuple[Weight, ...]:
    """The tensors of a feed-forward layer without a gate."""
    names = {up: "up_proj", down: "down_proj"}
    return (
        *(common.layer_weight(f"{hf}.weight", f"feed_forward.{ours}.weight") for hf, ours in names.items()),
        *(
            common.layer_weight(f"{hf}.bias", f"feed_forward.{ours}.bias", when=common.has_mlp_bias)
            for hf, ours in names.items()
        ),
    )


def norm_weights(hf: str, ours: str, **options: Any) -> tuple[Weight, ...]:
    """The weight and the bias of a LayerNorm, of any layer or of each."""
    return tuple(Weight(f"{hf}.{part}", (f"{ours}.{part}",), **options) for part in ("weight", "bias"))


def linear(hf: str, ours: str, has_bias: Callable[[TransformerConfig, int], bool]) -> tuple[Weight, ...]:
    """A matrix and its bias, if it has one."""
    return Weight(f"{hf}.weight", (f"{ours}.weight",)), Weight(f"{hf}.bias", (f"{ours}.bias",), when=has_bias)


def neox_mlp(hf: str, has_bias: Callable[[TransformerConfig, int], bool]) -> tuple[Weight, ...]:
    """The feed-forward layer under GPT-NeoX's names."""
    up, down = (f"layers.{{i}}.feed_forward.{name}_proj" for name in ("up", "down"))
    return (*linear(f"{hf}.dense_h_to_4h", up, has_bias), *linear(f"{hf}.dense_4h_to_h", down, has_bias))


def fused_qkv(hf: str, layout: Layout) -> tuple[Weight, ...]:
    """Queries, keys and values in one matrix, and one bias."""
    weight, bias = (tuple(f"layers.{{i}}.attention.{p}_proj.{part}" for p in "qkv") for part in ("weight", "bias"))
    return (
        Weight(f"{hf}.weight", weight, layout=layout),
        Weight(f"{hf}.bias", bias, layout=layout, when=common.has_qkv_bias),
    )


DROPOUTS = (
    Field("hidden_dropout", "residual_dropout", 0.0),
    Field("attention_dropout", "attention_dropout", 0.0),
)
OUTER = common.EMBEDDINGS[::2]
LLAMA = (*common.EMBEDDINGS, *common.ATTENTION, *common.MLP, *common.NORMS)
POST_NORMS = (
    common.layer_weight("post_attention_layernorm.weight", "attention_post_norm.weight"),
    common.layer_weight("post_feedforward_layernorm.weight", "feed_forward_post_norm.weight"),
)
FUSED_MLP = (
    Weight(
        "model.layers.{i}.mlp.gate_up_proj.weight",
        ("layers.{i}.feed_forward.gate_proj.weight", "layers.{i}.feed_forward.up_proj.weight"),
    ),
    common.layer_weight("mlp.down_proj.weight", "feed_forward.down_proj.weight"),
)
LAYER_NORMS = (
    *norm_weights("model.norm", "norm"),
    *norm_weights("model.layers.{i}.input_layernorm", "layers.{i}.attention_norm"),
    *norm_weights("model.layers.{i}.post_attention_layernorm", "layers.{i}.feed_forward_norm"),
)
