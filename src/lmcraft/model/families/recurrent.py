"""Entries that families with recurrent layers share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isinf
from typing import Any, get_args

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common
from lmcraft.model.families.family import Field, Weight
from lmcraft.model.parts import LayerType


@dataclass(frozen=True)
class LayerTypes:
    """The type of each layer."""

    default: Callable[[Mapping[str, Any], int], list[str]]
    """Layer types if the key is missing, from config.json and the number of layers; under their names or ours."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Mapping from their names to ours; of several for one of ours, the first is written. Names that it lacks stay."""
    key: str = "layer_types"
    """Key in config.json."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        layers = read_so_far["num_hidden_layers"]
        choices = [*self.names, *self.names.values(), *get_args(LayerType)]
        types = common.per_layer(hf_config, self.key, layers, choices) or self.default(hf_config, layers)
        return {"layer_types": tuple(self.names.get(name, name) for name in types)}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        theirs = {ours: name for name, ours in reversed(list(self.names.items()))}
        types = [config.layer_type(layer) for layer in range(config.num_hidden_layers)]
        hf_config[self.key] = [theirs.get(name, name) for name in types]


@dataclass(frozen=True)
class MambaHeads:
    """Number and width of Mamba-2's heads; their product is the inner width, a key of its own or `expand` times the model's.

    The fields are keys of config.json.
    """

    heads: str = "mamba_n_heads"
    width: str = "mamba_d_head"
    expand: str = "mamba_expand"
    inner: str = ""
    """Empty: the family has no such key."""
    default_width: int | str = "auto"
    default_inner: int = 0

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        heads, width = hf_config.get(self.heads, 128), hf_config.get(self.width, self.default_width)
        inner = hf_config.get(self.inner, self.default_inner) or hf_config.get(self.expand, 2) * read_so_far["hidden_size"]
        width = inner // heads if width == "auto" else width
        if heads * width != inner:
            raise UserError(
                f"config.json is damaged: {self.heads}={heads} times {self.width}={width} is not the inner width, {inner}"
            )
        return {"mamba.num_heads": heads, "mamba.head_dim": width}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        inner = config.mamba.num_heads * config.mamba.head_dim
        hf_config |= {self.heads: config.mamba.num_heads, self.width: config.mamba.head_dim}
        hf_config |= {self.inner: inner} if self.inner else {self.expand: inner // config.hidden_size}


class TimeStepLimit:
    """`time_step_limit`, which is left out if there is none."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        # transformers 5 writes {"__float__": "Infinity"} for a number that JSON lacks.
        low, high = (
            float(limit["__float__"]) if isinstance(limit, dict) else float(limit)
            for limit in hf_config.get("time_step_limit") or (0.0, 0.0)
        )
        return {"mamba.time_step_min": low, "mamba.time_step_max": 0.0 if isinf(high) else high}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        low, high = config.mamba.time_step_min, config.mamba.time_step_max
        if low or high:
            hf_config["time_step_limit"] = [low, high or {"__float__": "Infinity"}]


MAMBA_FIELDS = (
    Field("mamba_d_state", "mamba.state_size", 256),
    Field("mamba_n_groups", "mamba.n_groups", 1),
    Field("mamba_d_conv", "mamba.conv_kernel", 4),
    Field("mamba_chunk_size", "mamba.chunk_size", 256),
    Field("mamba_conv_bias", "mamba.use_conv_bias", True),
    Field("mamba_proj_bias", "mamba.use_bias", False),
    TimeStepLimit(),
)


def mamba_weights(block: str) -> tuple[Weight, ...]:
    """The weights of a Mamba-2 mixer, which is called `block` in the checkpoint."""

    def weight(hf: str, ours: str, **options: Any) -> Weight:
        return Weight(f"{block}.{hf}", (f"layers.{{i}}.mixer.{ours}",), **options)

    return (
        *(weight(name, name) for name in ("in_proj.weight", "A_log", "D", "dt_bias")),
        weight("in_proj.bias", "in_proj.bias", when=lambda config, layer: config.mamba.use_bias),
        weight("conv1d.weight", "conv.weight"),
        weight("conv1d.bias", "conv.bias", when=lambda config, layer: config.mamba.use_conv_bias),
        weight("norm.weight", "norm.weight", when=lambda config, layer: config.mamba.norm != "none"),
        weight("out_proj.weight", "o_proj.weight"),
        weight("out_proj.bias", "o_proj.bias", when=lambda config, layer: config.mamba.use_output_bias),
    )
