"""The compressed-tensors format of LLM Compressor, and of `lmcraft quantize`.

Layers match the groups of settings in config.json by name, by pattern ("re:...") or by class, the first match in this order.
Shapes: O outputs, I inputs, G groups.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from lmcraft.model.quantized_checkpoints import float4, float8
from lmcraft.model.quantized_checkpoints.integers import center, decode_integers, unpack
from lmcraft.model.quantized_checkpoints.stored_matrix import (
    Decoded,
    Names,
    Parts,
    Settings,
    StoredMatrix,
    positive_int,
)
from lmcraft.model.quantized_matrix import OWN_FORMAT, QuantizedMatrix

FORMATS = (
    "pack-quantized",
    "int-quantized",
    "naive-quantized",
    "float-quantized",
    "mxfp8-quantized",
    "mxfp4-pack-quantized",
    "nvfp4-pack-quantized",
    "mixed-precision",
    "dense",
    OWN_FORMAT,
)
PATTERN = "re:"
NO_MATCH = 3
REORDERED = ("group", "dynamic", True)  # values of `actorder` with groups that are not of neighbors
ROLES = {
    "packed": "weight_packed",
    "weight": "weight",
    "scale": "weight_scale",
    "global_scale": "weight_global_scale",
    "zeros": "weight_zero_point",
    "groups": "weight_g_idx",
    "shape": "weight_shape",
    "shifts": "weight_shift",
}


def find(settings: Settings, names: Names, aliases: Mapping[str, Sequence[str]]) -> dict[str, StoredMatrix]:
    """The quantized matrices of a checkpoint; `aliases` are the names by which the settings know tensors, if others.

    Raises:
        ValueError: the format is not supported.
    """
    groups = settings.get("config_groups")
    schemes = list(groups.values()) if isinstance(groups, Mapping) else []
    if not all(_is_scheme(scheme) for scheme in schemes):
        raise ValueError("damaged config_groups")
    formats = [settings.get("format"), *(scheme.get("format") for scheme in schemes)]
    for name in (name for name in formats if name is not None):
        if name not in FORMATS:
            raise ValueError(f"format={str(name)[:40]!r}")
    for extra in ("transform_config", "sparsity_config"):
        table = settings.get(extra)
        if table and not (isinstance(table, Mapping) and (table.get("format") == "dense" or not any(table.values()))):
            raise ValueError(extra)
    ends = (".weight_packed", ".weight_scale")
    matrices = {}
    layers = {
        name.removesuffix(end): [alias.removesuffix(end) for alias in aliases.get(name, [name])]
        for end in ends
        for name in names
        if name.endswith(end)
    }
    for layer, spellings in layers.items():
        if f"{layer}.weight_packed" not in names and f"{layer}.weight" not in names:
            continue  # of keys and values
        tensors = {role: f"{layer}.{part}" for role, part in ROLES.items() if f"{layer}.{part}" in names}
        tensors.setdefault("scale", f"{layer}.weight_scale")
        if "packed" in tensors:
            tensors.pop("weight", None)
        weights = _scheme_of(spellings, schemes)
        for role in _required_roles(weights) if settings.get("format") != OWN_FORMAT else ():
            tensors.setdefault(role, f"{layer}.{ROLES[role]}")
        matrices[f"{layer}.weight"] = StoredMatrix(tensors, partial(_decode, weights=weights))
    return matrices


def _is_scheme(scheme: Any) -> bool:
    if not isinstance(scheme, Mapping) or not isinstance(scheme.get("targets"), list):
        return False
    return scheme.get("weights") is None or isinstance(scheme["weights"], Mapping)


def _required_roles(weights: Settings) -> list[str]:
    """The tensors without which the weights of a layer would be guessed."""
    is_needed = {
        "zeros": weights.get("symmetric") is False and weights.get("type", "int") == "int",
        "groups": weights.get("actorder") in REORDERED,
        "global_scale": weights.get("strategy") == "tensor_group",
    }
    return [role for role, needed in is_needed.items() if needed]


def _scheme_of(spellings: Sequence[str], schemes: list[Mapping[str, Any]]) -> Settings:
    """The settings of a layer's weights, by any of its names."""

    def rank(scheme: Mapping[str, Any]) -> int:
        targets = [str(target) for target in scheme["targets"]]
        patterns = [target.removeprefix(PATTERN) for target in targets if target.startswith(PATTERN)]
        if any(layer in targets for layer in spellings):
            return 0
        if any(re.match(pattern, layer) for pattern in patterns for layer in spellings):
            return 1
        return 2 if any(target[:1].isupper() for target in targets) else NO_MATCH

    if len(schemes) == 1:
        return schemes[0].get("weights") or {}
    try:
        ranked = sorted((rank(scheme), number) for number, scheme in enumerate(schemes))
    except re.error as error:
        raise ValueError(f"a damaged pattern in config_groups ({error})") from error
    best, number = ranked[0] if ranked else (NO_MATCH, 0)
    return {} if best == NO_MATCH else schemes[number].get("weights") or {}


def _decode(parts: Parts, *, weights: Settings) -> Decoded:
    block, group_size = float8.block_size(weights.get("block_structure")), _group_size(weights)
    packed = parts.get("packed")
    if packed is not None and packed.dtype == torch.uint8:
        scales = float8.decode_scales(parts["scale"])
        if "global_scale" not in parts:
            return float4.decode(packed, scales, float4.GROUP_MXFP4)
        return float4.decode(packed, scales / float8.decode_scales(parts["global_scale"]).reshape(()), float4.GROUP_NVFP4)
    if packed is None and parts["weight"].dtype != torch.int8:
        if block is None and group_size != -1:
            block = (1, group_size)
        return float8.decode({"weight": parts["weight"], "scale": parts["scale"]}, block=block)
    return _decode_integers(parts, weights, block, group_size)


def _group_size(weights: Settings) -> int:
    """The columns of a group; -1: all."""
    is_grouped = weights.get("strategy", "group") in ("group", "tensor_group")
    return positive_int(weights, "group_size", -1) if is_grouped else -1


def _decode_integers(parts: Parts, weights: Settings, block: tuple[int, int] | None, group_size: int) -> Decoded:
    bits = weights.get("num_bits")
    if type(bits) is not int or not 1 <= bits <= 8:
        raise ValueError(f"num_bits={str(bits)[:40]} in config.json")
    scales_OG, zeros = parts["scale"], parts.get("zeros")
    if "packed" in parts:
        rows, columns = map(int, parts["shape"].tolist())
        if parts["packed"].ndim != 2 or len(parts["packed"]) != rows:
            raise ValueError(f"{tuple(parts['packed'].shape)} words for {rows} x {columns} weights")
        numbers_OI = center(unpack(parts["packed"], bits, columns), bits)
        if zeros is not None and zeros.dtype == torch.int32:  # packed along the outputs
            zeros = center(unpack(zeros.t(), bits, rows), bits).t()
    else:
        numbers_OI = parts["weight"]
        rows, columns = numbers_OI.shape
    if block is not None:
        shape = numbers_OI.shape
        dense_OI = numbers_OI.float() if zeros is None else numbers_OI.float() - float8.spread(zeros.float(), shape, block)
        return dense_OI * float8.spread(scales_OG.float(), shape, block)
    scales_OG = scales_OG.reshape(1, 1) if scales_OG.numel() == 1 else scales_OG
    zeros = None if zeros is None else zeros.reshape(scales_OG.shape)
    matrix = decode_integers(
        numbers_OI,
        scales_OG,
        bits,
        zeros_OG=zeros,
        group_size=group_size,
        groups_I=parts.get("groups"),
    )
    return matrix if "shifts" not in parts else _shift(matrix, parts)


def _shift(matrix: Decoded, parts: Parts) -> Decoded:
    """A matrix of `lmcraft quantize` with shifts."""
    shifts = parts["shifts"].float()
    if not isinstance(matrix, QuantizedMatrix) or shifts.shape != matrix.scales.shape:
        raise ValueError(f"{tuple(shifts.shape)} shifts for {tuple(parts['scale'].shape)} scales")
    return replace(matrix, shifts=shifts)
