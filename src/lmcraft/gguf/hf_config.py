"""Translate a GGUF file's metadata to the contents of a config.json, and back.

All sizes are checked against the file's tensors, so that a false size cannot cause an allocation.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.gguf.architecture import Architecture, expert_count
from lmcraft.gguf.architectures import architecture_of
from lmcraft.gguf.container import GGUFFile
from lmcraft.gguf.mixtures import EMBEDDING, OUTPUT
from lmcraft.gguf.parts import required_size
from lmcraft.gguf.rope import read_rope, write_rope

MAX_CONTEXT_TOKENS = 2**26
_BLOCK = re.compile(r"blk\.([0-9]{1,9})\.")

# Defaults of missing config.json keys that differ from what the architecture implies.
DEFAULTS = {"norm_topk_prob": False}


def read_config(file: GGUFFile) -> dict[str, Any]:
    """The contents of a config.json for this file.

    Raises:
        UserError: the architecture is not supported, a key is missing, or the sizes do not match the tensors.
    """
    arch = architecture_of(file)
    config: dict[str, Any] = {"architectures": [arch.hf_class], "model_type": arch.model_types[0]}
    for key in arch.keys:
        config[key.hf] = key.read(file, arch.name, config)
    config["vocab_size"] = _shape(file, EMBEDDING, 2)[0]
    head_dim = _head_dim(file, arch, config)
    if arch.has_head_dim:
        config["head_dim"] = head_dim
    config |= dict(arch.fixed) | {key: tensor in file.tensors for key, tensor in arch.biases.items()}
    if "attention_bias" in arch.fixed and not arch.fixed["attention_bias"]:
        config["attention_bias"] = "blk.0.attn_q.bias" in file.tensors
    config["tie_word_embeddings"] = OUTPUT not in file.tensors
    _check(file, arch, config, head_dim)
    if arch.scalings:
        rope = read_rope(file, arch, head_dim, config["max_position_embeddings"])
        config |= _rope_keys(rope, arch)
    for part in arch.parts:
        config |= part.read(file, arch.name, config)
    return config


def _head_dim(file: GGUFFile, arch: Architecture, config: Mapping[str, Any]) -> int:
    """Width of a head; 0 if no layer has attention."""
    if not arch.heads:
        return 0
    heads, metadata = config[arch.heads], file.metadata
    if arch.latent:
        return required_size(file, f"{arch.name}.rope.dimension_count")
    width = metadata.count(f"{arch.name}.attention.key_length", minimum=1)
    value = metadata.count(f"{arch.name}.attention.value_length", minimum=1)
    if width is None:
        width = config[arch.hidden] // heads
    if value not in (None, width):
        raise UserError(f"'{file.path}' has head widths {width} for keys and {value} for values, which is not supported")
    if width < 1 or (not arch.has_head_dim and width * heads != config[arch.hidden]):
        raise metadata.invalid(
            f"{arch.name}.attention.head_count", f"{heads} heads of {width} for width {config[arch.hidden]}"
        )
    return width


def _check(file: GGUFFile, arch: Architecture, config: Mapping[str, Any], head_dim: int) -> None:
    """Raise UserError unless the sizes match the tensors; of the layers, only the first of each kind is checked."""
    layers = config[arch.layers]
    blocks = {int(match[1]) for name in file.tensors if (match := _BLOCK.match(name))}
    if layers > len(file.tensors) or blocks != set(range(layers)):
        raise file.metadata.invalid(f"{arch.name}.block_count", f"{layers}, but the file has {len(blocks)} layers")
    length = config[arch.hf("context_length")]
    if length > MAX_CONTEXT_TOKENS:
        raise file.metadata.invalid(f"{arch.name}.context_length", f"{length} is more than {MAX_CONTEXT_TOKENS}")
    experts, used = expert_count(config), int(config.get("num_experts_per_tok") or 0)
    if used > experts:
        raise file.metadata.invalid(f"{arch.name}.expert_used_count", f"{used} of {experts}")
    expected = _expected_shapes(file, arch, config, head_dim)
    if experts and "ffn_down_exps" not in expected:
        raise UserError(f"'{file.path}' has no experts, but the metadata {experts} of them; it is not a complete model")
    for role, shape in expected.items():
        name = next(name for layer in range(layers) if (name := f"blk.{layer}.{role}.weight") in file.tensors)
        if _shape(file, name, len(shape)) != shape:
            raise _mismatch(file, name, shape)
    if (shape := (config["vocab_size"], config[arch.hidden])) != _shape(file, EMBEDDING, 2):
        raise _mismatch(file, EMBEDDING, shape)


def _mismatch(file: GGUFFile, name: str, shape: tuple[int, ...]) -> UserError:
    return UserError(
        f"'{file.path}': the tensor '{name}' has shape {file.tensors[name].shape}, but the metadata implies {shape}; the "
        "file is damaged, download it again"
    )


def _expected_shapes(
    file: GGUFFile, arch: Architecture, config: Mapping[str, Any], head_dim: int
) -> dict[str, tuple[int, ...]]:
    """Shapes of tensors of layers that the file has, by their names in a layer."""
    hidden, expected = config[arch.hidden], dict[str, tuple[int, ...]]()
    if arch.heads:
        heads = config[arch.heads]
        value_dim = required_size(file, f"{arch.name}.attention.value_length_mla") if arch.latent else head_dim
        expected["attn_output"] = (hidden, heads * value_dim)
    if arch.heads and arch.kv_heads:
        kv_heads = config.get(arch.kv_heads) or heads
        if heads % kv_heads:
            raise file.metadata.invalid(f"{arch.name}.attention.head_count_kv", f"{kv_heads} does not divide {heads} heads")
        expected["attn_k"] = (kv_heads * head_dim, hidden)
        if not arch.gated_attention:
            expected["attn_qkv"] = ((heads + 2 * kv_heads) * head_dim, hidden)
    if arch.inner in config:
        expected["ffn_down"] = (hidden, config[arch.inner])
    if experts := expert_count(config):
        expected["ffn_down_exps"] = (experts, hidden, config[arch.expert_inner])
    roles = {name.split(".", 2)[2].removesuffix(".weight") for name in file.tensors if _BLOCK.match(name)}
    return {role: shape for role, shape in expected.items() if role in roles}


def _shape(file: GGUFFile, name: str, dimensions: int) -> tuple[int, ...]:
    if name not in file.tensors:
        raise UserError(f"'{file.path}' has no tensor '{name}'; it is not a complete model")
    shape = file.tensors[name].shape
    if len(shape) != dimensions:
        raise UserError(f"'{file.path}': the tensor '{name}' has {len(shape)} dimensions instead of {dimensions}")
    return shape


def _rope_keys(rope: dict[str, Any], arch: Architecture) -> dict[str, Any]:
    """Both forms of rotary settings: transformers 5's `rope_parameters`, and the older keys."""
    other_keys = ("rope_theta", "partial_rotary_factor")
    scaling = {key: value for key, value in rope.items() if key not in other_keys}
    keys = {arch.theta_key: rope["rope_theta"], "rope_parameters": rope}
    keys["rope_scaling"] = scaling if scaling["rope_type"] != "default" else None
    if "partial_rotary_factor" in rope:
        keys[arch.partial_key] = rope["partial_rotary_factor"]
    return keys


def write_config(hf_config: Mapping[str, Any], arch: Architecture) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The metadata of a config.json, without the architecture prefix, and the tensors of rotary factors.

    Raises:
        UserError: a setting is missing, or GGUF cannot express it.
    """
    for key, implied in arch.fixed.items():
        value = hf_config.get(key)
        value = DEFAULTS.get(key, implied) if value is None else value
        if value != implied:
            raise UserError(
                f"config.json: {key}={value!r} cannot be exported to GGUF for {arch.model_types[0]}, only {implied!r}"
            )
    metadata = {key.gguf: key.write(hf_config) for key in arch.keys}
    head_dim = _written_head_dim(hf_config, arch)
    if arch.has_head_dim and arch.heads:
        heads, hidden = int(hf_config[arch.heads]), int(hf_config[arch.hidden])
        if hf_config.get("head_dim") or head_dim * heads != hidden:
            metadata |= {"attention.key_length": head_dim, "attention.value_length": head_dim}
    rope, tensors = write_rope(hf_config, arch, head_dim)
    metadata |= rope
    for part in arch.parts:
        metadata |= part.write({**hf_config, "head_dim": head_dim} if arch.has_head_dim else hf_config)
    return metadata, tensors


def _written_head_dim(hf_config: Mapping[str, Any], arch: Architecture) -> int:
    if not arch.heads:
        return 0
    if arch.latent:
        return int(hf_config["qk_rope_head_dim"])
    hidden, heads = int(hf_config[arch.hidden]), int(hf_config[arch.heads])
    head_dim = int(hf_config.get("head_dim") or arch.head_dim or hidden // heads) if arch.has_head_dim else hidden // heads
    if arch.square and head_dim * heads != hidden:
        raise UserError(
            f"config.json: {heads} heads of {head_dim} in a {arch.model_types[0]} of width {hidden} cannot be exported "
            "to GGUF; heads * head_dim must equal hidden_size"
        )
    return head_dim
