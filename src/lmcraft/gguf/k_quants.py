"""Quantize to Q4_K, Q5_K and Q6_K, which the `gguf` package reads but does not write.

A block is 256 numbers of a row. In Q4_K and Q5_K a group of 32 has a scale and a minimum of 6 bits each, in Q6_K a group of
16 has a scale of 8 bits; the block has a scale of them in float16. The layouts are ggml's.

The scale of a group is the best of a few candidates around (highest - lowest) / levels, each fitted to its own codes by
weighted least squares; larger numbers have more weight.

Shapes: B blocks, G groups of a block, N numbers of a group.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmcraft.errors import UserError

BLOCK = 256
K_QUANTS = ("Q4_K", "Q5_K", "Q6_K")
BLOCKS_PER_CHUNK = 512  # quantized at once, so that the candidates stay in the cache
AFFINE_CANDIDATES = [step / 10 for step in range(-10, 11)]  # added to the highest code
SYMMETRIC_CANDIDATES = [step / 10 for step in range(-9, 10)]
MAX_SCALE_CODE = 63


def quantize_k(name: str, numbers: Tensor, kind: str) -> NDArray[np.uint8]:
    """Quantize a tensor whose rows are whole blocks.

    Args:
        name: its name, for errors.
        numbers: (..., C), float32; C is a multiple of 256.
        kind: one of `K_QUANTS`.

    Returns:
        Its bytes, (..., C / 256 * bytes of a block).

    Raises:
        UserError: a number is not finite, or a scale is too large for float16.
    """
    blocks = numbers.reshape(-1, BLOCK)
    quantize = _quantize_q6 if kind == "Q6_K" else _quantize_q4 if kind == "Q4_K" else _quantize_q5
    packed = torch.cat([quantize(chunk) for chunk in torch.split(blocks, BLOCKS_PER_CHUNK)])
    scales = packed[:, -2:] if kind == "Q6_K" else packed[:, :4]
    if not bool(numbers.isfinite().all() and scales.contiguous().view(torch.float16).isfinite().all()):
        raise UserError(f"the tensor '{name}' has numbers that {kind} cannot hold; use dtype bfloat16 or float32")
    result: NDArray[np.uint8] = packed.reshape(*numbers.shape[:-1], -1).numpy()
    return result


def _quantize_q4(blocks: Tensor) -> Tensor:
    header, codes_BGN = _quantize_affine(blocks, 15)
    return torch.cat([header, _low_bits(codes_BGN)], dim=1)


def _quantize_q5(blocks: Tensor) -> Tensor:
    header, codes_BGN = _quantize_affine(blocks, 31)
    places_G1 = torch.arange(8, dtype=torch.uint8)[:, None]
    fifth_bits = ((codes_BGN >> 4) << places_G1).sum(dim=1, dtype=torch.uint8)
    return torch.cat([header, fifth_bits, _low_bits(codes_BGN & 15)], dim=1)


def _low_bits(codes_BGN: Tensor) -> Tensor:
    """Two groups share bytes: the first has the low four bits."""
    return (codes_BGN[:, ::2] | (codes_BGN[:, 1::2] << 4)).reshape(len(codes_BGN), -1)


def _quantize_affine(blocks: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """The first 16 bytes of each block (scales and minima) and the codes, (B, G, N)."""
    numbers_BGN = blocks.reshape(-1, 8, 32)
    scale_BG, offset_BG = _fit_affine(numbers_BGN, levels)
    factors, codes = [], []
    for values_BG in (scale_BG, offset_BG):
        largest_B1 = values_BG.amax(dim=1, keepdim=True)
        factors.append((largest_B1 / MAX_SCALE_CODE).half())
        code = torch.nan_to_num(values_BG / largest_B1 * MAX_SCALE_CODE).round()
        codes.append(code.clamp(0, MAX_SCALE_CODE))
    step_BG1, minimum_BG1 = ((factor.float() * code)[..., None] for factor, code in zip(factors, codes, strict=True))
    codes_BGN = torch.nan_to_num((numbers_BGN + minimum_BG1) / step_BG1).round().clamp(0, levels).byte()
    scales, minima = (code.byte() for code in codes)
    low = [scales[:, :4] | ((scales[:, 4:] >> 4) << 6), minima[:, :4] | ((minima[:, 4:] >> 4) << 6)]
    high = (scales[:, 4:] & 15) | ((minima[:, 4:] & 15) << 4)
    return torch.cat([*(factor.view(torch.uint8) for factor in factors), *low, high], dim=1), codes_BGN


def _fit_affine(numbers_BGN: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """The scale and the offset of each group, (B, G) each: a number is about scale * code - offset, both at least 0."""
    weight = numbers_BGN.abs() + numbers_BGN.square().mean(dim=-1, keepdim=True).sqrt()
    lowest = numbers_BGN.amin(dim=-1, keepdim=True).clamp(max=0)
    span = numbers_BGN.amax(dim=-1, keepdim=True) - lowest
    sum_w, sum_x = weight.sum(-1), (weight * numbers_BGN).sum(-1)
    best_scale, best_offset = span[..., 0] / levels, -lowest[..., 0]
    best_error = torch.full_like(best_scale, torch.inf)
    shifted = torch.nan_to_num((numbers_BGN - lowest) / span)
    for candidate in AFFINE_CANDIDATES:
        codes = (shifted * (levels + candidate)).round_().clamp_(0, levels)
        weighted = weight * codes
        sum_c, sum_cc, sum_cx = weighted.sum(-1), (weighted * codes).sum(-1), (weighted * numbers_BGN).sum(-1)
        determinant = sum_w * sum_cc - sum_c.square()
        scale = (sum_w * sum_cx - sum_x * sum_c) / determinant
        offset = (sum_c * sum_cx - sum_cc * sum_x) / determinant
        scale = torch.where(offset < 0, sum_cx / sum_cc, scale)
        offset = offset.clamp(min=0)
        error = (weight * (scale[..., None] * codes - offset[..., None] - numbers_BGN).square_()).sum(-1)
        better = (determinant > 0) & (error < best_error)
        best_scale = torch.where(better, scale, best_scale)
        best_offset = torch.where(better, offset, best_offset)
        best_error = torch.where(better, error, best_error)
    return best_scale, best_offset


def _quantize_q6(blocks: Tensor) -> Tensor:
    numbers_BGN = blocks.reshape(-1, 16, 16)
    scale_BG = _fit_symmetric(numbers_BGN, 32)
    largest_B1 = scale_BG.gather(1, scale_BG.abs().argmax(dim=1, keepdim=True))
    factor_B1 = (largest_B1 / -128).half()
    scales_BG = torch.nan_to_num(scale_BG / largest_B1 * -128).round().clamp(-128, 127)
    steps_BG1 = (factor_B1.float() * scales_BG)[..., None]
    codes_BGN = (torch.nan_to_num(numbers_BGN / steps_BG1).round().clamp(-32, 31) + 32).byte()
    codes = codes_BGN.reshape(-1, 2, 4, 32)  # halves of a block, quarters of a half
    low = (codes[:, :, :2] & 15) | ((codes[:, :, 2:] & 15) << 4)
    places = torch.tensor([0, 2, 4, 6], dtype=torch.uint8)[:, None]
    high = ((codes >> 4) << places).sum(dim=2, dtype=torch.uint8)
    parts = (low, high, scales_BG.to(torch.int8).view(torch.uint8), factor_B1.view(torch.uint8))
    return torch.cat([part.reshape(len(blocks), -1) for part in parts], dim=1)


def _fit_symmetric(numbers_BGN: Tensor, levels: int) -> Tensor:
    """The scale of each group, (B, G): a number is about scale * code, from -levels to levels - 1.

    The number farthest from zero gets the code -levels, so that none is cut off; so a scale may be negative.
    """
    farthest = numbers_BGN.gather(-1, numbers_BGN.abs().argmax(dim=-1, keepdim=True))
    weight = numbers_BGN.square()
    relative = torch.nan_to_num(numbers_BGN / -farthest)
    best_scale = torch.zeros_like(farthest[..., 0])
    best_gain = torch.zeros_like(best_scale)  # by how much the squared error falls, compared with codes of 0
    for candidate in SYMMETRIC_CANDIDATES:
        codes = (relative * (levels + candidate)).round_().clamp_(-levels, levels - 1)
        weighted = weight * codes
        sum_cx, sum_cc = (weighted * numbers_BGN).sum(-1), (weighted * codes).sum(-1)
        gain = torch.nan_to_num(sum_cx.square() / sum_cc)
        better = gain > best_gain
        best_scale = torch.where(better, sum_cx / sum_cc, best_scale)
        best_gain = torch.where(better, gain, best_gain)
    return best_scale
