"""Entries of config.json that families like Llama share: norm and activation, biases, patterns of windows, multipliers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families.common import BIAS, DROPOUTS, SILU, Rotary
from lmcraft.model.families.family import Entry, Field


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
        *DROPOUTS,
    )


BIASES = (Field("attention_bias", "attention_bias", False, BIAS), Field("mlp_bias", "mlp_bias", False))


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
        return {self.ours: 1 / super().read(hf_config, read_so_far)[self.ours]}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        super().write(config, hf_config)
        hf_config[self.hf] = float(f"{1 / hf_config[self.hf]:.15g}")


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
