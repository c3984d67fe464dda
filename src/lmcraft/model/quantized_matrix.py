"""Fewer bits for a weight: symmetric integers with a scale for each row, or for each group of a row.

A token needs every weight once, and reading them is what takes the time. In a model folder quantized matrices lie in the
layout of compressed-tensors, which transformers and vLLM open: 8 bits as `weight` (int8) and `weight_scale`, 4 bits as
`weight_packed` (int32, eight numbers each, the first in the lowest bits, each + 8), `weight_scale` and `weight_shape`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lmcraft.errors import UserError

GROUP_SIZE = 32
TOGETHER = 4096  # groups that are looked at together: what is computed of them stays in the cores' caches
CUTS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)  # shares of a group's largest number that may stand for -8
METHOD = "compressed-tensors"
Bits = Literal[4, 8]


@dataclass(frozen=True)
class QuantizedMatrix:
    """A matrix of `numbers * scales`."""

    numbers: Tensor
    """(rows, columns), int8."""
    scales: Tensor
    """(rows, 1) for 8 bits, (rows, groups of 32 columns) for 4, float32."""
    bits: Bits

    def dequantize(self) -> Tensor:
        """The matrix, (rows, columns), float32."""
        rows = len(self.numbers)
        return (self.numbers.view(rows, self.scales.shape[1], -1) * self.scales[:, :, None]).view(rows, -1)


def quantize_rows(weight: Tensor) -> QuantizedMatrix:
    """8 bits: -127 to 127 with a scale for each row, rounded to nearest; `weight` is (rows, columns), float32."""
    scales = weight.abs().amax(dim=1, keepdim=True) / 127
    return QuantizedMatrix((weight / _not_zero(scales)).round().to(torch.int8), scales, 8)


def quantize_groups(weight: Tensor) -> QuantizedMatrix:
    """4 bits: -8 to 7 with a scale for each 32 columns, rounded to nearest; the columns divide by 32."""
    groups = weight.view(len(weight), -1, GROUP_SIZE)
    scales = group_scales(groups)
    numbers = (groups / _not_zero(scales)[:, :, None]).round().clamp(-8, 7)
    return QuantizedMatrix(numbers.flatten(1).to(torch.int8), scales, 4)


def group_scales(groups: Tensor) -> Tensor:
    """The scale of each group, (...), for groups (..., 32), as it is kept: in 16 bits.

    The number of largest size becomes -8, whatever its sign, so that all 16 values are used (as ggml's Q4_0 does it), or is
    cut off a little where that brings the group nearer.
    """
    some = torch.split(groups.flatten(0, -2), TOGETHER)
    return torch.cat([_nearest_scales(part) for part in some]).view(groups.shape[:-1])


def _nearest_scales(groups: Tensor) -> Tensor:
    largest = groups.gather(-1, groups.abs().argmax(dim=-1, keepdim=True)).squeeze(-1)
    candidates = torch.stack([(cut * largest / -8).half().float() for cut in CUTS])
    divisors = _not_zero(candidates)[..., None]
    errors = ((groups / divisors).round().clamp(-8, 7) * divisors - groups).square().sum(dim=-1)
    return candidates.gather(0, errors.argmin(dim=0, keepdim=True)).squeeze(0)


def quantize_groups_gptq(weight: Tensor, hessian: Tensor, *, damping: float = 0.01) -> QuantizedMatrix:
    """4 bits, column after column, each error made up for by the columns to come (GPTQ, arXiv 2210.17323, eq. 2 and 3).

    Args:
        weight: (rows, columns), float32; the columns divide by 32.
        hessian: X^T X of the inputs that the matrix sees, (columns, columns).
        damping: share of the hessian's mean diagonal that is added to it.
    """
    weight, columns = weight.clone(), weight.shape[1]
    hessian = hessian.double().clone()
    hessian.diagonal().add_(damping * hessian.diagonal().mean() + 1e-9)
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(hessian)), upper=True).float()
    numbers = torch.empty_like(weight)
    scales = weight.new_empty(len(weight), columns // GROUP_SIZE)
    for start in range(0, columns, GROUP_SIZE):
        block, stop = weight[:, start : start + GROUP_SIZE], start + GROUP_SIZE
        scale = group_scales(block)
        scales[:, start // GROUP_SIZE] = scale
        errors = torch.empty_like(block)
        for n in range(GROUP_SIZE):
            column, place = block[:, n], start + n
            numbers[:, place] = (column / _not_zero(scale)).round().clamp(-8, 7)
            errors[:, n] = (column - numbers[:, place] * scale) / inverse[place, place]
            block[:, n + 1 :] -= errors[:, n : n + 1] * inverse[place, place + 1 : stop]
        weight[:, stop:] -= errors @ inverse[start:stop, stop:]
    return QuantizedMatrix(numbers.to(torch.int8), scales, 4)


# On the disk


def quantization_bits(hf_config: Mapping[str, Any]) -> Bits | None:
    """How a model folder's matrices are quantized; None: they are not.

    Raises:
        UserError: in a way that is not read here.
    """
    said = hf_config.get("quantization_config")
    if not said:
        return None
    formats: dict[str, Bits] = {"int-quantized": 8, "pack-quantized": 4}
    bits = formats.get(said.get("format")) if said.get("quant_method") == METHOD else None
    if bits is None or said != quantization_config(bits):
        kind = said.get("format") or said.get("quant_method")
        raise UserError(
            f"config.json: quantization_config of {kind!r} is not read here, only what `lmcraft quantize` writes: "
            "take the model's unquantized folder, or a GGUF file"
        )
    return bits


def quantization_config(bits: Bits) -> dict[str, Any]:
    """What config.json says of such matrices, in the words of compressed-tensors."""
    common = {"type": "int", "symmetric": True}
    if bits == 8:
        weights = {**common, "num_bits": 8, "strategy": "channel", "dynamic": False}
        inputs: dict[str, Any] | None = {**common, "num_bits": 8, "strategy": "token", "dynamic": True}
    else:
        weights = {**common, "num_bits": 4, "strategy": "group", "group_size": GROUP_SIZE, "dynamic": False}
        inputs = None
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs, "output_activations": None}
    return {
        "quant_method": METHOD,
        "format": "int-quantized" if bits == 8 else "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
    }


def to_tensors(name: str, quantized: QuantizedMatrix) -> dict[str, Tensor]:
    """What a folder holds of a matrix; `name` ends in "weight"."""
    if quantized.bits == 8:
        return {name: quantized.numbers, f"{name}_scale": quantized.scales}
    numbers = (quantized.numbers + 8).to(torch.int32).view(len(quantized.numbers), -1, 8)
    packed = (numbers << torch.arange(0, 32, 4, dtype=torch.int32)).sum(dim=2, dtype=torch.int32)
    shape = torch.tensor(quantized.numbers.shape)
    return {f"{name}_packed": packed, f"{name}_scale": quantized.scales.half(), f"{name}_shape": shape}


def from_tensors(name: str, bits: Bits, read: Any) -> QuantizedMatrix:
    """The inverse of `to_tensors`; `read` gives a tensor by its name."""
    scales: Tensor = read(f"{name}_scale").float()
    if bits == 8:
        return QuantizedMatrix(read(name), scales, bits)
    packed: Tensor = read(f"{name}_packed")
    numbers = (packed[:, :, None] >> torch.arange(0, 32, 4, dtype=torch.int32)) & 15
    return QuantizedMatrix((numbers - 8).to(torch.int8).flatten(1), scales, bits)


def _not_zero(scales: Tensor) -> Tensor:
    return torch.where(scales == 0, torch.ones_like(scales), scales)
