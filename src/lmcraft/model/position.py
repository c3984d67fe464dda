"""Rotary positions (RoPE, arXiv 2104.09864).

Shapes: B batch, T new tokens, H heads, D head width.
"""

import torch
from torch import Tensor


def rotary_table(length: int, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines of every position's angles, each (length, D), float32.

    The halves of a head are the two coordinates (Hugging Face's convention), so the table repeats each angle once and
    carries the minus sign of the rotation in the first half of the sines (section 3.4.2, eq. 34).
    """
    frequencies = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies)
    sines = angles.sin()
    return angles.cos().repeat(1, 2), torch.cat((-sines, sines), dim=-1)


def rotate(x_BTHD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each head by its position's angles; `cos` and `sin` broadcast against x as (B or 1, T, 1, D)."""
    swapped = x_BTHD.roll(x_BTHD.shape[-1] // 2, dims=-1)  # (x2, x1)
    return torch.addcmul(x_BTHD * cos, swapped, sin)
