"""What llama.cpp's architectures are described by: the names of their settings, and what its converter does to tensors."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.gguf.container import GGUFFile

Kind = Literal["count", "size", "number", "real", "flag"]
Config = Mapping[str, Any]
EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts")  # keys of config.json


@dataclass(frozen=True)
class Key:
    """One metadata key and the matching key of config.json."""

    gguf: str
    """Metadata key without the architecture prefix."""
    hf: str
    kind: Kind = "count"
    default: Callable[[Config], Any] | None = None
    """Default of a missing key, computed from the settings read so far; None: the key is required."""
    other: str = ""
    """Key in other releases of transformers, written from if `hf` is missing."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Any:
        """Read the value: a count of at least 1, a size of at least 0, a number above 0, any real number, or a flag.

        Raises:
            UserError: the value is missing or invalid.
        """
        name, metadata = f"{prefix}.{self.gguf}", file.metadata
        value: Any
        if self.kind in ("count", "size"):
            value = metadata.count(name, minimum=int(self.kind == "count"))
        elif self.kind in ("number", "real"):
            value = metadata.number(name)
            if value is not None and value <= 0 and self.kind == "number":
                raise metadata.invalid(name, f"{value} is not greater than 0")
        else:
            value = metadata.flag(name)
        if value is not None:
            return value
        if self.default is None:
            raise UserError(f"'{file.path}' has no key '{name}'; it is not a complete model")
        return self.default(config)

    def write(self, hf_config: Config) -> Any:
        """The value to write, from config.json.

        Raises:
            UserError: config.json has no valid value.
        """
        value = hf_config.get(self.hf)
        value = hf_config.get(self.other) if value is None else value
        if value is None and self.default is not None:
            value = self.default(hf_config)
        if self.kind == "flag" and isinstance(value, bool):
            return value
        if isinstance(value, bool) or not isinstance(value, int if self.kind in ("count", "size") else int | float):
            raise UserError(f"config.json: {self.hf}={value!r} is not a {self.kind}; config.json is damaged")
        return float(value) if self.kind in ("number", "real") else value


class Part(Protocol):
    """Several related settings that are not one key each."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        """Keys of config.json; `config` has those read so far."""

    def write(self, hf_config: Config) -> Config:
        """Metadata keys without the architecture prefix."""


class Rule(Protocol):
    """A tensor that llama.cpp's converter renames, rearranges or cuts."""

    @property
    def names(self) -> re.Pattern[str]:
        """Pattern of Hugging Face names."""

    def targets(self, match: re.Match[str]) -> tuple[str, ...]:
        """The GGUF names of its parts; empty: the name that the package has."""

    def to_gguf(self, tensor: Tensor, config: Config) -> Sequence[Tensor]: ...

    def to_hf(self, parts: Sequence[Tensor], config: Config) -> Tensor: ...


@dataclass(frozen=True)
class Architecture:
    """One architecture of llama.cpp, or one of the model types that share it."""

    name: str
    model_types: tuple[str, ...]
    """Hugging Face model types; a file is read as the first."""
    hf_class: str
    keys: tuple[Key, ...]
    parts: tuple[Part, ...] = ()
    rules: tuple[Rule, ...] = ()
    reads: Callable[[GGUFFile], bool] = lambda file: True
    """Whether a file of this architecture is one of these model types."""
    writes: Callable[[Config], bool] = lambda hf_config: True
    """Whether a config.json of these model types is written as this architecture."""
    hidden: str = "hidden_size"
    heads: str = "num_attention_heads"
    kv_heads: str = "num_key_value_heads"
    layers: str = "num_hidden_layers"
    inner: str = "intermediate_size"
    expert_inner: str = "moe_intermediate_size"
    """Names of these settings in config.json; no heads: no layer has attention; no `kv_heads`: a part reads them."""
    fixed: Config = field(default_factory=dict)
    """Settings of config.json that the architecture implies; other values are rejected when writing."""
    biases: Mapping[str, str] = field(default_factory=dict)
    """Settings that are true if the file has the named tensor."""
    scalings: tuple[str, ...] = ("default",)
    """Rotary scaling types that llama.cpp supports for it; empty: no rotary positions."""
    yarn_mscale: bool = False
    """YaRN also scales attention by `mscale_all_dim`, as in DeepSeek."""
    yarn_truncates: bool = True
    """YaRN rounds the borders of its ramp to whole dimensions (`truncate` of Hugging Face; llama.cpp always does)."""
    head_dim: int | None = None
    """Default `head_dim` of config.json; None: hidden_size / heads."""
    has_head_dim: bool = True
    """Whether config.json has the key `head_dim`."""
    latent: bool = False
    """Multi-head latent attention; the width of a head is that of its rotated part."""
    gated_attention: bool = False
    """`attn_q` has gates besides the queries, and `attn_qkv` belongs to linear attention."""
    square: bool = False
    """llama.cpp requires heads * head_dim == hidden_size."""
    theta: float = 10000.0
    theta_key: str = "rope_theta"
    partial_key: str = "partial_rotary_factor"
    partial: float = 1.0
    rotates_whole_heads: bool = False
    """llama.cpp rejects heads that are rotated in part."""
    writes_rope_width: bool = False
    """The file names the rotated width even if it is that of a head."""
    tied: bool = False
    """Default `tie_word_embeddings` of config.json."""
    head_dim_key: str = ""
    """A second key of the head width for transformers, which reads it for this architecture under the name of another one;
    llama.cpp ignores it."""
    needs_output: bool = False
    """llama.cpp needs the output projection even if it is tied to the embedding."""

    def hf(self, gguf: str) -> str:
        """The config.json key of a metadata key."""
        return next(key.hf for key in self.keys if key.gguf == gguf)


def expert_count(config: Config) -> int:
    """Experts of a layer; 0: there are none."""
    return next((int(config[key]) for key in EXPERT_COUNTS if config.get(key)), 0)
