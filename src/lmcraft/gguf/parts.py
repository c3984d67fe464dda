"""Parts of the metadata that several architectures share."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lmcraft.errors import UserError
from lmcraft.gguf.architecture import Config
from lmcraft.gguf.container import GGUFFile


@dataclass(frozen=True)
class Windows:
    """Sliding windows: their length, and which layers have one."""

    every: int
    """Each so-manieth layer has full attention, unless the file has a pattern."""
    default: int = 0
    """Length of a file without one."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        name = f"{prefix}.attention.sliding_window"
        window = file.metadata.count(name)
        window = self.default if window is None else window
        slides = read_pattern(file, f"{name}_pattern", config["num_hidden_layers"], self.every)
        kinds = ["sliding_attention" if window and slide else "full_attention" for slide in slides]
        return {"sliding_window": window or None, "layer_types": kinds}

    def write(self, hf_config: Config) -> Config:
        kinds, layers = hf_config.get("layer_types"), int(hf_config["num_hidden_layers"])
        usual = [bool((layer + 1) % self.every) for layer in range(layers)]
        slides = [kind == "sliding_attention" for kind in kinds] if kinds else usual
        window = hf_config.get("sliding_window")
        if not any(slides) or not window:
            return {"attention.sliding_window": 0}
        pattern = {} if slides == usual else {"attention.sliding_window_pattern": slides}
        return {"attention.sliding_window": int(window), **pattern}


def read_pattern(file: GGUFFile, name: str, layers: int, every: int) -> list[bool]:
    """Which layers have a window: an array of flags, or all but each so-manieth.

    Raises:
        UserError: the array is too short.
    """
    pattern = file.metadata.get(name)
    if isinstance(pattern, np.ndarray):
        if len(pattern) < layers:
            raise file.metadata.invalid(name, f"it has {len(pattern)} entries for {layers} layers")
        return [bool(flag) for flag in pattern.tolist()[:layers]]
    every = file.metadata.count(name, minimum=1) or every
    return [bool((layer + 1) % every) for layer in range(layers)]


class EqualHeads:
    """llama.cpp requires as many key-value heads as query heads."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        return {}

    def write(self, hf_config: Config) -> Config:
        heads, kv_heads = hf_config["num_attention_heads"], hf_config.get("num_key_value_heads")
        if kv_heads not in (None, heads):
            raise UserError(
                f"config.json: num_key_value_heads={kv_heads} cannot be exported to GGUF for {hf_config['model_type']}, "
                f"only num_attention_heads={heads}"
            )
        return {}


@dataclass(frozen=True)
class AttentionLayers:
    """Key-value heads by layer; layers without them are of another type."""

    other: str
    """Type of the other layers."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        name, layers = f"{prefix}.attention.head_count_kv", config["num_hidden_layers"]
        heads = file.metadata.numbers(name)
        counts = [] if heads is None else [int(count) for count in heads.tolist()[:layers]]
        if len(counts) < layers or not any(counts) or len({count for count in counts if count}) > 1 or min(counts) < 0:
            raise file.metadata.invalid(name, f"it is not one number or 0 for each of {layers} layers")
        kinds = ["full_attention" if count else self.other for count in counts]
        return {"num_key_value_heads": max(counts), "layer_types": kinds}

    def write(self, hf_config: Config) -> Config:
        heads = int(hf_config.get("num_key_value_heads") or hf_config["num_attention_heads"])
        kinds = hf_config["layer_types"]
        return {"attention.head_count_kv": [heads if "attention" in kind and kind != self.other else 0 for kind in kinds]}


class ContextOfOneWindow:
    """A context of one window, because llama.cpp lacks windows for the architecture: within one window both kinds of
    attention are the same."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        return {}

    def write(self, hf_config: Config) -> Config:
        window = hf_config.get("sliding_window")
        return {"context_length": min(int(hf_config["max_position_embeddings"]), int(window))} if window else {}


@dataclass(frozen=True)
class Constant:
    """A metadata key that config.json does not have."""

    gguf: str
    value: Any

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        return {}

    def write(self, hf_config: Config) -> Config:
        return {self.gguf: self.value}


@dataclass(frozen=True)
class LayersWithoutRotary:
    """Each so-manieth layer has no rotary positions."""

    every: int

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        return {"no_rope_layers": self._usual(config), "no_rope_layer_interval": self.every}

    def write(self, hf_config: Config) -> Config:
        layers, every = hf_config.get("no_rope_layers"), hf_config.get("no_rope_layer_interval") or self.every
        layers = layers or [int((i + 1) % every != 0) for i in range(int(hf_config["num_hidden_layers"]))]
        if list(layers) != self._usual(hf_config):
            raise UserError(
                f"config.json: no_rope_layers={layers} cannot be exported to GGUF; every {self.every}th layer must be "
                "without rotary positions"
            )
        return {}

    def _usual(self, config: Config) -> list[int]:
        return [int((layer + 1) % self.every != 0) for layer in range(int(config["num_hidden_layers"]))]


@dataclass(frozen=True)
class Optional:
    """A number that is missing if it is not set."""

    gguf: str
    hf: str

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        return {self.hf: file.metadata.number(f"{prefix}.{self.gguf}") or None}

    def write(self, hf_config: Config) -> Config:
        value = hf_config.get(self.hf)
        return {} if not value else {self.gguf: float(value)}


def required_size(file: GGUFFile, key: str) -> int:
    """A size of at least 1.

    Raises:
        UserError: the file does not have it.
    """
    value = file.metadata.count(key, minimum=1)
    if value is None:
        raise UserError(f"'{file.path}' has no key '{key}'; it is not a complete model")
    return value
