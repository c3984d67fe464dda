"""Which type each tensor of a file gets: for Q4_K_M and Q5_K_M llama.cpp's mixture, so that files are as people expect.

The mixture follows `llama-quantize`: six bits for the output projection, and for values and down projections of the first
and last eighth of the layers and every third between them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Quantization = Literal["f32", "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m"]
FILE_TYPES: dict[Quantization, str] = {
    "f32": "ALL_F32",
    "f16": "MOSTLY_F16",
    "bf16": "MOSTLY_BF16",
    "q8_0": "MOSTLY_Q8_0",
    "q6_k": "MOSTLY_Q6_K",
    "q5_k_m": "MOSTLY_Q5_K_M",
    "q4_k_m": "MOSTLY_Q4_K_M",
}
# Matrices that stay float32, as llama.cpp's kernels require.
FULL_PRECISION = re.compile(r"(.*(_norm|\.ffn_gate_inp(_shexp)?|\.ssm_conv1d|\.shortconv\.conv)|position_embd)\.weight")
# The type of a matrix whose rows are not a multiple of the block.
FALLBACKS = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
BLOCKS = {"Q4_K": 256, "Q5_K": 256, "Q6_K": 256, "Q8_0": 32, "Q5_0": 32, "Q5_1": 32}
EMBEDDING = "token_embd.weight"
OUTPUT = "output.weight"
_LAYER = re.compile(r"blk\.([0-9]+)\.(.*)\.weight")
_VALUES = ("attn_v", "attn_qkv", "attn_kv_b")


@dataclass(frozen=True)
class Mixture:
    """The types of a file's tensors."""

    quantization: Quantization
    architecture: str
    layers: int
    attention_layers: tuple[int, ...]
    """The layers that have keys and values."""
    experts: int = 0
    tied: bool = False
    """The file has no output projection."""

    @classmethod
    def of(cls, quantization: Quantization, architecture: str, settings: Mapping[str, Any], *, tied: bool) -> "Mixture":
        """The mixture of a model with this metadata, without the architecture's prefix."""
        layers, kv_heads = settings["block_count"], settings.get("attention.head_count_kv")
        attention = [i for i in range(layers) if not isinstance(kv_heads, list) or kv_heads[i]]
        if every := settings.get("full_attention_interval"):
            attention = [i for i in attention if (i + 1) % every == 0]
        return cls(quantization, architecture, layers, tuple(attention), settings.get("expert_count") or 0, tied)

    def type_of(self, name: str, shape: tuple[int, ...]) -> str:
        """The ggml type of a tensor."""
        if len(shape) == 1 or not name.endswith(".weight") or FULL_PRECISION.fullmatch(name):
            return "F32"
        kind = self._preferred(name, shape)
        if shape[-1] % BLOCKS.get(kind, 1):
            kind = FALLBACKS.get(kind, "F16")
        return "F16" if shape[-1] % BLOCKS.get(kind, 1) else kind

    def _preferred(self, name: str, shape: tuple[int, ...]) -> str:
        base = self.quantization.upper().removesuffix("_M")
        if base not in FALLBACKS:
            return base
        if name == OUTPUT or (name == EMBEDDING and self.tied):
            return "Q8_0" if self.architecture == "falcon" or shape[-1] % BLOCKS[base] else "Q6_K"
        match = _LAYER.fullmatch(name)
        if match is None:
            return base
        layer, role = int(match[1]), match[2]
        if self.experts == 8 and role in ("attn_k", *_VALUES):
            return "Q8_0"
        if self.experts == 8 and role == "attn_output" and self.quantization == "q4_k_m":
            return "Q5_K"
        if self.quantization == "q6_k":
            return base
        if role in _VALUES and layer in self.attention_layers:
            more = _needs_more_bits(self.attention_layers.index(layer), len(self.attention_layers))
            return "Q6_K" if more else base
        if not role.startswith("ffn_down"):
            return base
        more = _needs_more_bits(layer, self.layers)
        if self.architecture == "falcon" and self.quantization == "q4_k_m":
            return "Q6_K" if layer < self.layers // 16 else "Q5_K" if more else base
        return "Q6_K" if more else base


def _needs_more_bits(layer: int, layers: int) -> bool:
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2
