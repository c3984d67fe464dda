"""Weight quantization: symmetric 8-bit integers with a scale per row, or 4-bit ones with a scale per group of 32.

Decoding is memory-bound: every token reads every weight, so fewer bits make it faster. Model folders store quantized
matrices in compressed-tensors' format for weights alone, which transformers and vLLM open: `weight_packed` (int32 with four
values + 128 or eight values + 8 each, lowest bits first), `weight_scale` and `weight_shape`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

SAMPLED_ROWS = 16
ROUNDING = 2**-7  # of bfloat16
GROUP_SIZE = 32
GROUPS_PER_CHUNK = 4096  # keeps the intermediate results in the CPU caches
COLUMNS_PER_UPDATE = 64  # GPTQ corrects the columns after these together
DAMPING = 0.4
CLIP_RATIOS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)  # candidates for the share of a group's maximum that maps to -8
QUANT_METHOD = "compressed-tensors"
NAMED_GROUP = "named_group"  # of the layers in 8 bits that config.json names one by one
OUTPUT_PROJECTION = "lm_head"
OWN_FORMAT = "lmcraft"
OWN_STATUS = "only lmcraft opens this folder"  # transformers stops at it; at a method that it does not know, it goes on
Bits = Literal[4, 8]


@dataclass(frozen=True)
class QuantizedMatrix:
    """A quantized matrix; its value is `numbers * scales + shifts`."""

    numbers: Tensor
    """(rows, columns), int8."""
    scales: Tensor
    """(rows, 1) for 8 bits, (rows, groups of 32 columns) for 4, float32."""
    bits: Bits
    shifts: Tensor | None = None
    """As the scales of 4-bit weights; None: zeros."""

    def dequantize(self) -> Tensor:
        """The float32 matrix, (rows, columns)."""
        rows = len(self.numbers)
        groups = self.numbers.view(rows, self.scales.shape[1], -1) * self.scales[:, :, None]
        return (groups if self.shifts is None else groups + self.shifts[:, :, None]).view(rows, -1)

    def with_tensors(self, change: Callable[[Tensor], Tensor]) -> "QuantizedMatrix":
        """The matrix with each of its tensors changed, such as other rows of it."""
        shifts = None if self.shifts is None else change(self.shifts)
        return QuantizedMatrix(change(self.numbers), change(self.scales), self.bits, shifts)

    def matches(self, weight: Tensor) -> bool:
        """Whether a weight, (rows, columns), is still this matrix, up to rounding, by a sample of its rows."""
        if weight.shape != self.numbers.shape:
            return False
        step = max(1, len(self.numbers) // SAMPLED_ROWS)
        sample = self.with_tensors(lambda tensor: tensor[::step]).dequantize().to(weight.device)
        return torch.allclose(weight[::step].float(), sample, rtol=ROUNDING, atol=0, equal_nan=True)


def stored_bits(shape: torch.Size, bits: Bits, *, shifted: bool = False) -> int:
    """The size of a matrix of (rows, columns) with its scales and shifts, in bits."""
    per_group = 32 if shifted else 16
    return bits * shape.numel() + (32 * shape[0] if bits == 8 else per_group * shape.numel() // GROUP_SIZE)


def quantize_rows(weight: Tensor) -> QuantizedMatrix:
    """Quantize to 8 bits: -127 to 127 with a scale per row, rounded to nearest; `weight` is (rows, columns), float32."""
    scales = weight.abs().amax(dim=1, keepdim=True) / 127
    return QuantizedMatrix((weight / _replace_zeros(scales)).round().to(torch.int8), scales, 8)


def quantize_groups(weight: Tensor, *, shifted: bool = False) -> QuantizedMatrix:
    """Quantize to 4 bits: -8 to 7 with a scale per 32 columns, rounded to nearest; `weight` is (rows, multiple of 32).

    With `shifted`, each group has a shift, too.
    """
    groups = weight.view(len(weight), -1, GROUP_SIZE)
    scales, shifts = group_scales(groups, shifted=shifted)
    numbers = _round(groups, scales[..., None], shifts[..., None])
    return QuantizedMatrix(numbers.flatten(1).to(torch.int8), scales, 4, shifts if shifted else None)


def _round(values: Tensor, scales: Tensor, shifts: Tensor) -> Tensor:
    return ((values - shifts) / _replace_zeros(scales)).round().clamp(-8, 7)


def group_scales(groups: Tensor, *, shifted: bool) -> tuple[Tensor, Tensor]:
    """Scale and shift of each group, (...), for groups (..., 32), rounded to 16 bits as they are stored.

    Without shifts the value of largest magnitude maps to -8, whatever its sign, so that all 16 levels are used (as in ggml's
    Q4_0); with them the smallest maps to -8 and the largest to 7 (as in Q4_1). They are clipped a little if that lowers the
    group's squared error.
    """
    chunks = torch.split(groups.flatten(0, -2), GROUPS_PER_CHUNK)
    scales, shifts = zip(*(_best_scales(chunk, shifted) for chunk in chunks), strict=True)
    return torch.cat(scales).view(groups.shape[:-1]), torch.cat(shifts).view(groups.shape[:-1])


def _best_scales(groups: Tensor, shifted: bool) -> tuple[Tensor, Tensor]:
    ratios = torch.tensor(CLIP_RATIOS, device=groups.device)[:, None]
    if shifted:
        low, high = groups.aminmax(dim=-1)
        scales = (ratios * (high - low) / 15).half().float()
        shifts = ((low + high + scales) / 2).half().float()  # the middle of the group between the levels -1 and 0
    else:
        largest = groups.gather(-1, groups.abs().argmax(dim=-1, keepdim=True)).squeeze(-1)
        scales = (ratios * largest / -8).half().float()
        shifts = torch.zeros_like(scales)
    numbers = _round(groups, scales[..., None], shifts[..., None])
    best = (numbers * scales[..., None] + shifts[..., None] - groups).square().sum(dim=-1).argmin(dim=0, keepdim=True)
    return scales.gather(0, best).squeeze(0), shifts.gather(0, best).squeeze(0)


def quantize_groups_gptq(
    weight: Tensor, hessian: Tensor, *, damping: float = DAMPING, shifted: bool = False
) -> QuantizedMatrix:
    """Quantize to 4 bits with GPTQ: later columns compensate each column's error (arXiv 2210.17323, eq. 2, 3).

    The columns with the largest diagonal are rounded first, when most columns can still compensate.

    Args:
        weight: (rows, columns), float32; columns must be a multiple of 32.
        hessian: X^T X of the matrix's inputs, (columns, columns).
        damping: share of the Hessian's mean diagonal that is added to its diagonal, against fitting the calibration text.
        shifted: as in `quantize_groups`.
    """
    hessian = hessian.double().clone()
    hessian.diagonal().add_(damping * hessian.diagonal().mean() + 1e-9)
    order = hessian.diagonal().argsort(descending=True)
    hessian = hessian[order][:, order]
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(hessian)), upper=True).float()
    group_scale, group_shift = group_scales(weight.view(len(weight), -1, GROUP_SIZE), shifted=shifted)
    scales, shifts, weight = group_scale[:, order // GROUP_SIZE], group_shift[:, order // GROUP_SIZE], weight[:, order]
    numbers = torch.empty_like(weight)
    for start in range(0, len(order), COLUMNS_PER_UPDATE):
        block, stop = weight[:, start : start + COLUMNS_PER_UPDATE], min(start + COLUMNS_PER_UPDATE, len(order))
        errors = torch.empty_like(block)
        for n in range(stop - start):
            column, i = block[:, n], start + n
            numbers[:, i] = _round(column, scales[:, i], shifts[:, i])
            errors[:, n] = (column - numbers[:, i] * scales[:, i] - shifts[:, i]) / inverse[i, i]
            block[:, n + 1 :] -= errors[:, n : n + 1] * inverse[i, i + 1 : stop]
        weight[:, stop:] -= errors @ inverse[start:stop, stop:]
    numbers = numbers[:, order.argsort()].to(torch.int8).contiguous()
    return QuantizedMatrix(numbers, group_scale, 4, group_shift if shifted else None)


# Storage


def quantization_config(
    bits: Bits, ignored: Sequence[str] = (), in_8_bits: Sequence[str] = (), *, own: bool = False
) -> dict[str, Any]:
    """The quantization_config of config.json, as compressed-tensors defines it, or with a name of our own.

    Args:
        bits: of the quantized matrices.
        ignored: names of linear layers that are not quantized.
        in_8_bits: names of layers with 8 bits, whatever the others have.
        own: there are shifts or quantized embeddings, which other programs would not read.
    """
    named = {NAMED_GROUP: _config_group(in_8_bits, 8)} if in_8_bits else {}
    groups = {
        **named,
        "group_0": _config_group(["Linear"], bits, symmetric=bits == 8 or not own),
    }  # compressed-tensors takes the first that matches
    output = [] if OUTPUT_PROJECTION in in_8_bits else [OUTPUT_PROJECTION]
    return {
        "quant_method": QUANT_METHOD,
        "format": OWN_FORMAT if own else "pack-quantized",
        "quantization_status": OWN_STATUS if own else "compressed",
        "config_groups": groups,
        "ignore": list(dict.fromkeys([*output, *ignored])),
    }


def _config_group(targets: Sequence[str], bits: Bits, *, symmetric: bool = True) -> dict[str, Any]:
    spread: dict[str, Any] = {"strategy": "channel"} if bits == 8 else {"strategy": "group", "group_size": GROUP_SIZE}
    weights = {"type": "int", "symmetric": symmetric, "num_bits": bits, **spread, "dynamic": False}
    return {"targets": list(targets), "weights": weights, "input_activations": None, "output_activations": None}


def to_tensors(name: str, quantized: QuantizedMatrix) -> dict[str, Tensor]:
    """A matrix's tensors in a model folder, by name; `name` ends in "weight"."""
    bits, numbers = quantized.bits, quantized.numbers
    per_word = 32 // bits
    padding = -numbers.shape[1] % per_word
    unsigned = F.pad(numbers.to(torch.int64) + (1 << bits - 1), (0, padding)).view(len(numbers), -1, per_word)
    packed = (unsigned << torch.arange(0, 32, bits)).sum(dim=2).to(torch.int32)
    scales = quantized.scales if bits == 8 else quantized.scales.half()
    tensors = {f"{name}_packed": packed, f"{name}_scale": scales, f"{name}_shape": torch.tensor(numbers.shape)}
    return tensors if quantized.shifts is None else {**tensors, f"{name}_shift": quantized.shifts.half()}


def _replace_zeros(scales: Tensor) -> Tensor:
    return torch.where(scales == 0, torch.ones_like(scales), scales)
