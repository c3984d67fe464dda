"""Translate a GGUF file's metadata to the contents of a config.json, and back.

All sizes are checked against the file's tensors, so that a false size cannot cause an allocation.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.gguf.architectures import Architecture, architecture_of
from lmcraft.gguf.container import GGUFFile
from lmcraft.gguf.mixtures import EMBEDDING, OUTPUT
from lmcraft.gguf.rope import read_rope, write_rope

MAX_CONTEXT_TOKENS = 2**26
_BLOCK = re.compile(r"blk\.([0-9]{1,9})\.")

# Gemma 3: every sixth layer has full attention; queries are scaled by head_dim, except in the 27B model with 62 layers.
GEMMA_PATTERN = 6
GEMMA_LOCAL_THETA = 10000.0
GEMMA_27B_LAYERS = 62
# Defaults of missing config.json keys that differ from what the architecture implies.
DEFAULTS = {"norm_topk_prob": False}


def read_config(file: GGUFFile) -> dict[str, Any]:
    """The contents of a config.json for this file.

    Raises:
        UserError: the architecture is not supported, a key is missing, or the sizes do not match the tensors.
    """
    arch = architecture_of(file)
    if arch.name == "llama" and file.metadata.count("llama.expert_count"):
        raise UserError(f"'{file.path}' is a mixture-of-experts Llama or Mistral (Mixtral), which is not supported")
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
    if arch.name == "gemma3":
        config |= _read_gemma(file, config)
    if arch.name == "phi3":
        config["sliding_window"] = file.metadata.count("phi3.attention.sliding_window") or None
        config["original_max_position_embeddings"] = config["rope_parameters"].get(
            "original_max_position_embeddings", config["max_position_embeddings"]
        )
    return config


def _head_dim(file: GGUFFile, arch: Architecture, config: Mapping[str, Any]) -> int:
    heads, metadata = config[arch.heads], file.metadata
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
    """Raise UserError unless the sizes match the tensors; of the layers, only the first is checked."""
    hidden, heads, layers = config[arch.hidden], config[arch.heads], config[arch.layers]
    kv_heads = config.get("num_key_value_heads", heads)
    if heads % kv_heads:
        raise file.metadata.invalid(f"{arch.name}.attention.head_count_kv", f"{kv_heads} does not divide {heads} heads")
    blocks = {int(match[1]) for name in file.tensors if (match := _BLOCK.match(name))}
    if layers > len(file.tensors) or blocks != set(range(layers)):
        raise file.metadata.invalid(f"{arch.name}.block_count", f"{layers}, but the file has {len(blocks)} layers")
    length = config[arch.hf("context_length")]
    if length > MAX_CONTEXT_TOKENS:
        raise file.metadata.invalid(f"{arch.name}.context_length", f"{length} is more than {MAX_CONTEXT_TOKENS}")
    expected: dict[str, tuple[int, ...]] = {
        EMBEDDING: (config["vocab_size"], hidden),
        "blk.0.attn_output.weight": (hidden, heads * head_dim),
    }
    if "num_experts" in config:
        experts, inner = config["num_experts"], config["moe_intermediate_size"]
        if config["num_experts_per_tok"] > experts:
            raise file.metadata.invalid(f"{arch.name}.expert_used_count", f"{config['num_experts_per_tok']} of {experts}")
        expected["blk.0.ffn_down_exps.weight"] = (experts, hidden, inner)
    else:
        expected["blk.0.ffn_down.weight"] = (hidden, config[arch.hf("feed_forward_length")])
    if "blk.0.attn_k.weight" in file.tensors:
        expected["blk.0.attn_k.weight"] = (kv_heads * head_dim, hidden)
    else:
        expected["blk.0.attn_qkv.weight"] = ((heads + 2 * kv_heads) * head_dim, hidden)
    for name, shape in expected.items():
        if _shape(file, name, len(shape)) != shape:
            raise UserError(
                f"'{file.path}': the tensor '{name}' has shape {file.tensors[name].shape}, but the metadata implies "
                f"{shape}; the file is damaged, download it again"
            )


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


def _read_gemma(file: GGUFFile, config: Mapping[str, Any]) -> dict[str, Any]:
    metadata, layers = file.metadata, config["num_hidden_layers"]
    window = metadata.count("gemma3.attention.sliding_window") or 0
    local = metadata.number("gemma3.rope.freq_base_swa") or GEMMA_LOCAL_THETA
    if local < 0:
        raise metadata.invalid("gemma3.rope.freq_base_swa", f"{local} is negative")
    name = "gemma3.attention.sliding_window_pattern"
    pattern = metadata.get(name)
    if isinstance(pattern, np.ndarray):
        sliding = [bool(flag) for flag in pattern.tolist()]
        if len(sliding) < layers:
            raise metadata.invalid(name, f"it has {len(sliding)} entries for {layers} layers")
    else:
        every = metadata.count(name, minimum=1) or GEMMA_PATTERN
        sliding = [bool((layer + 1) % every) for layer in range(layers)]
    return {
        "query_pre_attn_scalar": gemma_query_scalar(config),
        "final_logit_softcapping": metadata.number("gemma3.final_logit_softcapping") or None,
        "sliding_window": window or None,
        "layer_types": ["sliding_attention" if window and slides else "full_attention" for slides in sliding[:layers]],
        "rope_local_base_freq": local,
        "rope_parameters": {
            "full_attention": config["rope_parameters"],
            "sliding_attention": {"rope_type": "default", "rope_theta": local},
        },
    }


def gemma_query_scalar(config: Mapping[str, Any]) -> float:
    """Gemma 3 divides attention scores by the square root of this; the 27B model is recognized by its layers."""
    if config["num_hidden_layers"] == GEMMA_27B_LAYERS:
        return int(config["hidden_size"] // config["num_attention_heads"])
    return int(config.get("head_dim") or 256)


def write_config(hf_config: Mapping[str, Any], arch: Architecture) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The metadata of a config.json, without the architecture prefix, and the tensors of rotary factors.

    For a Mistral with a sliding window, the context is limited to one window, because llama.cpp lacks windows for it;
    within one window, both kinds of attention are the same.

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
    hidden, heads = int(hf_config[arch.hidden]), int(hf_config[arch.heads])
    head_dim = int(hf_config.get("head_dim") or arch.head_dim or hidden // heads) if arch.has_head_dim else hidden // heads
    if arch.square and head_dim * heads != hidden:
        raise UserError(
            f"config.json: {heads} heads of {head_dim} in a {arch.model_types[0]} of width {hidden} cannot be exported "
            "to GGUF; heads * head_dim must equal hidden_size"
        )
    if arch.has_head_dim and (hf_config.get("head_dim") or head_dim * heads != hidden):
        metadata |= {"attention.key_length": head_dim, "attention.value_length": head_dim}
    rope, tensors = write_rope(hf_config, arch, head_dim)
    metadata |= rope
    if arch.name == "llama":
        metadata["vocab_size"] = int(hf_config["vocab_size"])
        if window := hf_config.get("sliding_window"):
            metadata["context_length"] = min(metadata["context_length"], int(window))
    if arch.name == "phi3":
        metadata["attention.sliding_window"] = int(hf_config.get("sliding_window") or 0)
    if arch.name == "gemma3":
        metadata |= _write_gemma(hf_config, head_dim)
    return metadata, tensors


def _write_gemma(hf_config: Mapping[str, Any], head_dim: int) -> dict[str, Any]:
    layers = int(hf_config["num_hidden_layers"])
    expected = gemma_query_scalar({**hf_config, "head_dim": head_dim})
    if (scalar := hf_config.get("query_pre_attn_scalar") or 256) != expected:
        raise UserError(f"config.json: query_pre_attn_scalar={scalar} cannot be exported to GGUF, only {expected}")
    types = hf_config.get("layer_types")
    every = int(hf_config.get("sliding_window_pattern") or GEMMA_PATTERN)
    sliding = [kind == "sliding_attention" for kind in types] if types else [bool((i + 1) % every) for i in range(layers)]
    local = ((hf_config.get("rope_parameters") or {}).get("sliding_attention") or {}).get("rope_theta")
    local = local or hf_config.get("rope_local_base_freq") or GEMMA_LOCAL_THETA
    metadata: dict[str, Any] = {"rope.freq_base_swa": float(local)}
    if cap := hf_config.get("final_logit_softcapping"):
        metadata["final_logit_softcapping"] = float(cap)
    if not any(sliding) or not hf_config.get("sliding_window", 4096):
        return metadata
    metadata["attention.sliding_window"] = int(hf_config.get("sliding_window", 4096))
    if sliding != [bool((layer + 1) % GEMMA_PATTERN) for layer in range(layers)]:
        metadata["attention.sliding_window_pattern"] = sliding
    return metadata
