"""Rotary positions in a GGUF file: the base in the metadata, the scaling there or in tensors of factors.

Llama 3's scaling is stored as one factor per wavelength; the four parameters behind it are recovered from the factors.

Shapes: R rotated dimensions of a head (`dim`).
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.gguf.architecture import Architecture
from lmcraft.gguf.container import GGUFFile

LLAMA3_FACTORS = "rope_freqs.weight"
LONG_FACTORS = "rope_factors_long.weight"
SHORT_FACTORS = "rope_factors_short.weight"
ATTENTION_TOLERANCE = 1e-4
LOG_MULTIPLIER = 0.1  # of YaRN; DeepSeek's converter multiplies `mscale_all_dim` by it


def read_rope(file: GGUFFile, arch: Architecture, head_dim: int, length: int) -> dict[str, Any]:
    """Read transformers 5's `rope_parameters`: base, rotated share, scaling type and its parameters.

    Args:
        file: an open file.
        arch: its architecture.
        head_dim: width of a head.
        length: context length, in tokens.

    Raises:
        UserError: the scaling is not supported, or its parameters cannot be recovered from the factors.
    """
    key, metadata = f"{arch.name}.rope", file.metadata
    theta = metadata.number(f"{key}.freq_base")
    theta = 10000.0 if theta is None else theta  # llama.cpp's default for all architectures
    if theta <= 0:
        raise metadata.invalid(f"{key}.freq_base", f"{theta} is not greater than 0")
    dim = metadata.count(f"{key}.dimension_count", minimum=2) or head_dim
    if dim > head_dim or dim % 2:
        raise metadata.invalid(f"{key}.dimension_count", f"{dim} of the {head_dim} dimensions of a head cannot be rotated")
    scaling = _read_scaling(file, arch, length, theta, dim)
    if scaling["rope_type"] not in arch.scalings:
        raise UserError(
            f"'{file.path}' has rotary scaling of type {scaling['rope_type']!r}, which is not supported for "
            f"{arch.name}; supported: {', '.join(arch.scalings)}"
        )
    share = dim / head_dim
    share = share if int(share * head_dim) == dim else (dim + 0.5) / head_dim
    return scaling | {"rope_theta": theta} | ({"partial_rotary_factor": share} if share != 1 or arch.partial != 1 else {})


def _read_scaling(file: GGUFFile, arch: Architecture, length: int, theta: float, dim: int) -> dict[str, Any]:
    key, metadata = f"{arch.name}.rope.scaling", file.metadata
    factor = metadata.number(f"{key}.factor") or metadata.number(f"{arch.name}.rope.scale_linear") or 1.0
    kind = metadata.text(f"{key}.type") or "linear"
    if factor < 0:
        raise metadata.invalid(f"{key}.factor", f"{factor} is negative")
    original = metadata.count(f"{key}.original_context_length", minimum=1) or length
    if LLAMA3_FACTORS in file.tensors:
        return recover_llama3_scaling(_factors(file, LLAMA3_FACTORS, dim), theta, dim, file.path)
    if LONG_FACTORS in file.tensors or SHORT_FACTORS in file.tensors:
        return _read_longrope(file, metadata.number(f"{key}.attn_factor"), original, length, dim)
    if kind == "none" or (kind == "linear" and factor == 1):
        return {"rope_type": "default"}
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    if kind != "yarn":
        raise metadata.invalid(f"{key}.type", f"{kind!r} is not a scaling type, or its factors are missing")
    scale = metadata.number(f"{key}.yarn_log_multiplier") or 0.0
    if scale and not arch.yarn_mscale:
        raise metadata.invalid(f"{key}.yarn_log_multiplier", f"the value {scale} is not supported for YaRN")
    for name, plain in (("yarn_attn_factor", 1), ("attn_factor", 1), ("yarn_ext_factor", 1)):
        if (value := metadata.number(f"{key}.{name}")) not in (None, plain):
            raise metadata.invalid(f"{key}.{name}", f"the value {value} is not supported for YaRN")
    betas = {name: metadata.number(f"{key}.yarn_{name}") for name in ("beta_fast", "beta_slow")}
    return {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": original,
        **{name: value for name, value in betas.items() if value is not None},
        **({} if arch.yarn_truncates else {"truncate": False}),
        **dict.fromkeys(("mscale", "mscale_all_dim") if scale else (), float(f"{scale / LOG_MULTIPLIER:.6g}")),
    }


def _read_longrope(file: GGUFFile, attention: float | None, original: int, length: int, dim: int) -> dict[str, Any]:
    scaling: dict[str, Any] = {
        "rope_type": "longrope",
        "factor": length / original,
        "original_max_position_embeddings": original,
        "short_factor": _factors(file, SHORT_FACTORS, dim).tolist(),
        "long_factor": _factors(file, LONG_FACTORS, dim).tolist(),
    }
    if attention is not None and abs(attention - longrope_attention(length, original)) > ATTENTION_TOLERANCE:
        scaling["attention_factor"] = attention
    return scaling


def _factors(file: GGUFFile, name: str, dim: int) -> np.ndarray[Any, Any]:
    factors = file.tensor(name).float()
    if tuple(factors.shape) != (dim // 2,) or not bool(torch.isfinite(factors).all()) or float(factors.min()) <= 0:
        raise UserError(
            f"'{file.path}': the tensor '{name}' must have one positive factor for each of {dim // 2} wavelengths"
        )
    return np.array([float(str(value)) for value in factors.numpy()])  # 1.1 instead of the 32-bit 1.100000023841858


def longrope_attention(length: int, original: int) -> float:
    """LongRoPE's multiplier of queries and keys (arXiv 2402.13753); llama.cpp stores it in the file."""
    return math.sqrt(1 + math.log(length / original) / math.log(original)) if length > original > 1 else 1.0


def llama3_factors(theta: float, dim: int, factor: float, low: float, high: float, original: float) -> Tensor:
    """Scaling factor of each wavelength, (R / 2,): 1 for short ones, `factor` for long ones."""
    frequencies = 1.0 / (theta ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim))
    turns = original * frequencies / (2 * math.pi)
    unscaled_share = ((turns - low) / (high - low)).clamp(0, 1)
    return 1 / ((1 - unscaled_share) / factor + unscaled_share)


def recover_llama3_scaling(factors: np.ndarray[Any, Any], theta: float, dim: int, path: Path) -> dict[str, Any]:
    """Recover the parameters of `llama3_factors` from its result; of equivalent ones, those with low_freq_factor=1.

    Raises:
        UserError: no parameters give these factors.
    """
    factor = float(factors.max())
    if factor == 1 and float(factors.min()) == 1:
        return {"rope_type": "default"}
    for low, high, original in _llama3_candidates(factors, factor, theta, dim):
        if np.allclose(llama3_factors(theta, dim, factor, low, high, original).numpy(), factors, rtol=1e-4, atol=0):
            return {
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low,
                "high_freq_factor": high,
                "original_max_position_embeddings": original,
            }
    raise UserError(
        f"'{path}': the factors in the tensor '{LLAMA3_FACTORS}' are not those of Llama 3's rotary scaling; other "
        "scalings by factors are not supported"
    )


def _llama3_candidates(
    factors: np.ndarray[Any, Any], factor: float, theta: float, dim: int
) -> Iterator[tuple[float, float, int]]:
    yield from ((1.0, 4.0, 2**power) for power in range(4, 24))  # all Llamas; with few wavelengths, several may match
    between = np.flatnonzero((factors > 1.0001) & (factors < factor * 0.9999))
    if factor <= 1 or len(between) < 2:
        return
    # Between the limits, 1 / factor is linear in the rotations per position, so two points determine it.
    with np.errstate(all="ignore"):  # the base of a damaged file may be anything
        points = between[[0, -1]]
        turns = 1.0 / (theta ** (2 * points / dim)) / (2 * math.pi)
        unscaled_share = (1 / factors[points] - 1 / factor) / (1 - 1 / factor)
        slope = (unscaled_share[1] - unscaled_share[0]) / (turns[1] - turns[0])
        intercept = unscaled_share[0] - slope * turns[0]
    if slope > 0 > intercept:
        span = -1 / intercept
        if slope * span < 2**31:
            yield 1.0, round(float(1 + span), 3), round(float(slope * span))


def rope_parameters_of(hf_config: Mapping[str, Any], arch: Architecture) -> dict[str, Any]:
    """The rotary settings of config.json, from transformers 5's `rope_parameters` or the older keys."""
    parameters = hf_config.get("rope_parameters") or {}
    rope = {**(parameters.get("full_attention") or parameters), **(hf_config.get("rope_scaling") or {})}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    rope["rope_type"] = {"su": "longrope"}.get(kind, kind)
    for name, older, plain in (
        ("rope_theta", arch.theta_key, arch.theta),
        ("partial_rotary_factor", arch.partial_key, arch.partial),
    ):
        rope[name] = next((value for value in (rope.get(name), hf_config.get(older)) if value is not None), plain)
    return rope


def write_rope(hf_config: Mapping[str, Any], arch: Architecture, head_dim: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The metadata, without the architecture prefix, and the tensors of factors.

    Raises:
        UserError: llama.cpp does not support the scaling for this architecture.
    """
    if not arch.scalings:
        return {}, {}
    rope = rope_parameters_of(hf_config, arch)
    kind, theta = rope["rope_type"], float(rope["rope_theta"])
    dim = int(head_dim * rope["partial_rotary_factor"])
    if kind not in arch.scalings:
        raise UserError(
            f"config.json: rotary scaling of type {kind!r} cannot be exported to GGUF for {arch.model_types[0]}; "
            f"supported: {', '.join(arch.scalings)}"
        )
    metadata: dict[str, Any] = {"rope.freq_base": theta}
    if arch.writes_rope_width or dim != head_dim:
        metadata["rope.dimension_count"] = dim
    if arch.rotates_whole_heads and dim != head_dim:
        raise UserError(
            f"config.json: partial_rotary_factor={rope['partial_rotary_factor']} is not supported for {arch.name}"
        )
    try:
        scaling, tensors = _write_scaling(rope, hf_config, arch, theta, dim)
    except KeyError as error:
        raise UserError(f"config.json: rotary scaling of type {kind!r} lacks {error}") from error
    return metadata | {f"rope.scaling.{key}": value for key, value in scaling.items()}, tensors


def _write_scaling(
    rope: Mapping[str, Any], hf_config: Mapping[str, Any], arch: Architecture, theta: float, dim: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    kind, length = rope["rope_type"], int(hf_config.get("max_position_embeddings") or 0)
    original = hf_config.get("original_max_position_embeddings") or rope.get("original_max_position_embeddings") or length
    if kind == "linear":
        return {"type": "linear", "factor": float(rope["factor"])}, {}
    if kind == "llama3":
        numbers = (rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"], original)
        return {}, {LLAMA3_FACTORS: llama3_factors(theta, dim, *map(float, numbers))}
    if kind == "yarn":
        _check_yarn(rope, arch)
        betas = {f"yarn_{key}": float(rope[key]) for key in ("beta_fast", "beta_slow") if rope.get(key) is not None}
        if arch.yarn_mscale and (scale := rope.get("mscale_all_dim")):
            betas["yarn_log_multiplier"] = LOG_MULTIPLIER * float(scale)
        return {"type": "yarn", "factor": float(rope["factor"]), "original_context_length": int(original), **betas}, {}
    if kind == "longrope":
        attention = rope.get("attention_factor") or longrope_attention(length, original)
        factors = {LONG_FACTORS: rope["long_factor"], SHORT_FACTORS: rope["short_factor"]}
        return (
            {"type": "longrope", "original_context_length": int(original), "attn_factor": float(attention)},
            {name: torch.tensor(values, dtype=torch.float32) for name, values in factors.items()},
        )
    return {}, {}


def _check_yarn(rope: Mapping[str, Any], arch: Architecture) -> None:
    default = 0.1 * math.log(float(rope["factor"])) + 1
    if abs((rope.get("attention_factor") or default) - default) > ATTENTION_TOLERANCE:
        raise UserError(f"config.json: YaRN with attention_factor={rope['attention_factor']} cannot be exported to GGUF")
    if (truncates := rope.get("truncate", True)) != arch.yarn_truncates:
        raise UserError(f"config.json: YaRN with truncate={str(truncates).lower()} cannot be exported to GGUF")
    if arch.yarn_mscale and rope.get("mscale", 1.0) != rope.get("mscale_all_dim", 1.0):
        raise UserError("config.json: YaRN with other mscale than mscale_all_dim cannot be exported to GGUF")
    if not arch.yarn_mscale and (rope.get("mscale") or rope.get("mscale_all_dim")):
        raise UserError("config.json: YaRN with mscale or mscale_all_dim cannot be exported to GGUF")
