"""Rotary positions in a GGUF file: the base in the metadata, their scaling there or in tensors of factors.

Llama 3's scaling is stored as one factor per wavelength, without the four numbers that it comes from; they are found again.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.gguf.architectures import Architecture
from lmcraft.gguf.container import GGUFFile

LLAMA3_FACTORS = "rope_freqs.weight"
LONG_FACTORS = "rope_factors_long.weight"
SHORT_FACTORS = "rope_factors_short.weight"
ATTENTION_TOLERANCE = 1e-4


def read_rope(file: GGUFFile, arch: Architecture, head_dim: int, length: int) -> dict[str, Any]:
    """What transformers 5 calls `rope_parameters`: base, rotated share, type of scaling and its numbers.

    Args:
        file: an open file.
        arch: its architecture.
        head_dim: width of a head.
        length: the model's context.

    Raises:
        UserError: the scaling is unknown, or its numbers cannot be told from the factors.
    """
    key, metadata = f"{arch.name}.rope", file.metadata
    theta = metadata.number(f"{key}.freq_base")
    theta = 10000.0 if theta is None else theta  # llama.cpp's default for all architectures
    if theta <= 0:
        raise metadata.wrong(f"{key}.freq_base", f"{theta} is not more than 0")
    dim = metadata.count(f"{key}.dimension_count", least=2) or head_dim
    if dim > head_dim or dim % 2:
        raise metadata.wrong(f"{key}.dimension_count", f"{dim} of a head of {head_dim} cannot be rotated")
    scaling = _read_scaling(file, arch, length, theta, dim)
    if scaling["rope_type"] not in arch.scalings:
        raise UserError(
            f"'{file.path}' has rotary scaling of type {scaling['rope_type']!r}, which is not known for the architecture "
            f"{arch.name}: {', '.join(arch.scalings)} are"
        )
    share = dim / head_dim
    share = share if int(share * head_dim) == dim else (dim + 0.5) / head_dim
    return scaling | {"rope_theta": theta} | ({"partial_rotary_factor": share} if share != 1 or arch.partial != 1 else {})


def _read_scaling(file: GGUFFile, arch: Architecture, length: int, theta: float, dim: int) -> dict[str, Any]:
    key, metadata = f"{arch.name}.rope.scaling", file.metadata
    factor = metadata.number(f"{key}.factor") or metadata.number(f"{arch.name}.rope.scale_linear") or 1.0
    kind = metadata.text(f"{key}.type") or "linear"
    if factor < 0:
        raise metadata.wrong(f"{key}.factor", f"{factor} is negative")
    original = metadata.count(f"{key}.original_context_length", least=1) or length
    if LLAMA3_FACTORS in file.tensors:
        return llama3_of(_factors(file, LLAMA3_FACTORS, dim), theta, dim, file.path)
    if LONG_FACTORS in file.tensors or SHORT_FACTORS in file.tensors:
        return _read_longrope(file, metadata.number(f"{key}.attn_factor"), original, length, dim)
    if kind == "none" or (kind == "linear" and factor == 1):
        return {"rope_type": "default"}
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    if kind != "yarn":
        raise metadata.wrong(f"{key}.type", f"{kind!r} is no scaling, or its factors are missing")
    for name, plain in (("yarn_log_multiplier", 0), ("yarn_attn_factor", 1), ("attn_factor", 1), ("yarn_ext_factor", 1)):
        if (value := metadata.number(f"{key}.{name}")) not in (None, plain):
            raise metadata.wrong(f"{key}.{name}", f"YaRN with the value {value} is not supported")
    betas = {name: metadata.number(f"{key}.yarn_{name}") for name in ("beta_fast", "beta_slow")}
    return {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": original,
        **{name: value for name, value in betas.items() if value is not None},
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
        raise UserError(f"'{file.path}': the tensor '{name}' is not one positive factor for each of {dim // 2} wavelengths")
    return np.array([float(str(value)) for value in factors.numpy()])  # 1.1, not the 1.100000023841858 of 32 bits


def longrope_attention(length: int, original: int) -> float:
    """What LongRoPE multiplies queries and keys by (arXiv 2402.13753; llama.cpp keeps it in the file)."""
    return math.sqrt(1 + math.log(length / original) / math.log(original)) if length > original > 1 else 1.0


def llama3_factors(theta: float, dim: int, factor: float, low: float, high: float, original: float) -> Tensor:
    """By what each of the dim / 2 wavelengths is stretched: 1 for short ones, `factor` for long ones."""
    frequencies = 1.0 / (theta ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim))
    turns = original * frequencies / (2 * math.pi)
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return 1 / ((1 - kept) / factor + kept)


def llama3_of(factors: np.ndarray[Any, Any], theta: float, dim: int, path: Path) -> dict[str, Any]:
    """The numbers that `llama3_factors` gives these factors for; of the equivalent ones those with low_freq_factor=1.

    Raises:
        UserError: there are none.
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
        f"'{path}': the factors in the tensor '{LLAMA3_FACTORS}' are not those of Llama 3's rotary scaling, and no "
        "other scaling is known for them"
    )


def _llama3_candidates(
    factors: np.ndarray[Any, Any], factor: float, theta: float, dim: int
) -> Iterator[tuple[float, float, int]]:
    yield from ((1.0, 4.0, 2**power) for power in range(4, 24))  # every Llama; few wavelengths may leave a choice
    between = np.flatnonzero((factors > 1.0001) & (factors < factor * 0.9999))
    if factor <= 1 or len(between) < 2:
        return
    # Between the limits 1 / factor is a linear function of the turns in one position; two points give it.
    with np.errstate(all="ignore"):  # a damaged file's base
        points = between[[0, -1]]
        turns = 1.0 / (theta ** (2 * points / dim)) / (2 * math.pi)
        kept = (1 / factors[points] - 1 / factor) / (1 - 1 / factor)
        slope = (kept[1] - kept[0]) / (turns[1] - turns[0])
        intercept = kept[0] - slope * turns[0]
    if slope > 0 > intercept:
        span = -1 / intercept
        if slope * span < 2**31:
            yield 1.0, round(float(1 + span), 3), round(float(slope * span))


def said_of(hf_config: Mapping[str, Any], arch: Architecture) -> dict[str, Any]:
    """What config.json says of rotary positions, in transformers 5's `rope_parameters` or in its older keys."""
    parameters = hf_config.get("rope_parameters") or {}
    said = {**(parameters.get("full_attention") or parameters), **(hf_config.get("rope_scaling") or {})}
    kind = said.get("rope_type") or said.get("type") or "default"
    said["rope_type"] = {"su": "longrope"}.get(kind, kind)
    for name, older, plain in (
        ("rope_theta", arch.theta_key, arch.theta),
        ("partial_rotary_factor", arch.partial_key, arch.partial),
    ):
        said[name] = next((value for value in (said.get(name), hf_config.get(older)) if value is not None), plain)
    return said


def write_rope(hf_config: Mapping[str, Any], arch: Architecture, head_dim: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The metadata, without the architecture's name, and the tensors of factors.

    Raises:
        UserError: llama.cpp has no such scaling for this architecture.
    """
    if not arch.scalings:
        return {}, {}
    said = said_of(hf_config, arch)
    kind, theta = said["rope_type"], float(said["rope_theta"])
    dim = int(head_dim * said["partial_rotary_factor"])
    if kind not in arch.scalings:
        raise UserError(
            f"config.json: rotary scaling of type {kind!r} cannot be said in GGUF for {arch.model_types[0]}: "
            f"{', '.join(arch.scalings)} can"
        )
    written: dict[str, Any] = {"rope.freq_base": theta}
    if arch.name in ("llama", "phi3", "gptneox"):
        written["rope.dimension_count"] = dim
    elif dim != head_dim:
        raise UserError(f"config.json: partial_rotary_factor={said['partial_rotary_factor']} is not known for {arch.name}")
    try:
        scaling, tensors = _write_scaling(said, hf_config, theta, dim)
    except KeyError as error:
        raise UserError(f"config.json: rotary scaling of type {kind!r} lacks {error}") from error
    return written | {f"rope.scaling.{key}": value for key, value in scaling.items()}, tensors


def _write_scaling(
    said: Mapping[str, Any], hf_config: Mapping[str, Any], theta: float, dim: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    kind, length = said["rope_type"], int(hf_config.get("max_position_embeddings") or 0)
    original = hf_config.get("original_max_position_embeddings") or said.get("original_max_position_embeddings") or length
    if kind == "linear":
        return {"type": "linear", "factor": float(said["factor"])}, {}
    if kind == "llama3":
        numbers = (said["factor"], said["low_freq_factor"], said["high_freq_factor"], original)
        return {}, {LLAMA3_FACTORS: llama3_factors(theta, dim, *map(float, numbers))}
    if kind == "yarn":
        _refuse_unusual_yarn(said)
        betas = {f"yarn_{key}": float(said[key]) for key in ("beta_fast", "beta_slow") if said.get(key) is not None}
        return {"type": "yarn", "factor": float(said["factor"]), "original_context_length": int(original), **betas}, {}
    if kind == "longrope":
        attention = said.get("attention_factor") or longrope_attention(length, original)
        factors = {LONG_FACTORS: said["long_factor"], SHORT_FACTORS: said["short_factor"]}
        return (
            {"type": "longrope", "original_context_length": int(original), "attn_factor": float(attention)},
            {name: torch.tensor(values, dtype=torch.float32) for name, values in factors.items()},
        )
    return {}, {}


def _refuse_unusual_yarn(said: Mapping[str, Any]) -> None:
    usual = 0.1 * math.log(float(said["factor"])) + 1
    if abs((said.get("attention_factor") or usual) - usual) > ATTENTION_TOLERANCE:
        raise UserError(f"config.json: YaRN with attention_factor={said['attention_factor']} cannot be said in GGUF")
    if said.get("mscale") or said.get("mscale_all_dim") or not said.get("truncate", True):
        raise UserError("config.json: YaRN with mscale, mscale_all_dim or truncate=false cannot be said in GGUF")
