"""SmolLM3 (Hugging Face 2025): Llama without rotary positions in every fourth layer (NoPE, arXiv 2501.18795)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family


def _rotates(hf_config: Mapping[str, Any], layers: int) -> list[bool]:
    """Whether each layer has rotary positions, which the key `no_rope_layers` lists as 1, in spite of its name."""
    every = hf_config.get("no_rope_layer_interval", 4)
    listed = common.per_layer(hf_config, "no_rope_layers", layers, (0, 1))
    return [bool(x) for x in listed or [(layer + 1) % every for layer in range(layers)]]


def _layer_types(hf_config: Mapping[str, Any], layers: int) -> list[str]:
    return ["full_attention" if rotates else "sliding_attention" for rotates in _rotates(hf_config, layers)]


@dataclass(frozen=True)
class NoRopeLayers:
    """The layers without rotary positions."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        rotates = _rotates(hf_config, read_so_far["num_hidden_layers"])
        return {"no_rope_layers": tuple(layer for layer, rotated in enumerate(rotates) if not rotated)}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config["no_rope_layers"] = [int(config.has_rotary(layer)) for layer in range(config.num_hidden_layers)]


SMOLLM3 = Family(
    model_type="smollm3",
    architecture="SmolLM3ForCausalLM",
    fields=(
        *common.sizes(128256, 32768, 2048, 11008, 36, 16, num_key_value_heads=4),
        *entries.llama_like(tied=True, rotary=common.Rotary(theta=2e6)),
        *entries.BIASES,
        NoRopeLayers(),
        common.LayeredWindow(0, _layer_types, switch="use_sliding_window"),
    ),
    implied=lambda config: common.PLAIN,
    optional_prefix="model.",
    weights=entries.LLAMA,
)
