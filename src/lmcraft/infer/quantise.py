"""Fewer bits for a weight: symmetric integers with a scale for each row, or for each group of a row.

A matrix product quantised so is read, not computed, more cheaply: a token needs every weight once, and memory is the limit.
"""

import torch
from torch import Tensor

GROUP = 32


def quantise_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """8 bits: weight = numbers * scale of the row, rounded to nearest.

    Args:
        weight: (rows, columns), float32.

    Returns:
        numbers, (rows, columns), int8, from -127 to 127; scales, (rows,), float32.
    """
    scale = weight.abs().amax(dim=1) / 127
    numbers = (weight / _not_zero(scale)[:, None]).round()
    return numbers.to(torch.int8), scale


def quantise_groups(weight: Tensor) -> tuple[Tensor, Tensor]:
    """4 bits: weight = numbers * scale of the group of 32 columns, rounded to nearest.

    The number of largest size becomes -8, whatever its sign, so that all 16 values are used (as ggml's Q4_0 does it).

    Args:
        weight: (rows, columns), float32; the columns divide by 32.

    Returns:
        numbers, (rows, columns), int8, from -8 to 7; scales, (rows, columns / 32), float32.
    """
    groups = weight.view(len(weight), -1, GROUP)
    largest = groups.gather(2, groups.abs().argmax(dim=2, keepdim=True))
    scale = (largest / -8).half().float()  # as it is kept
    numbers = (groups / _not_zero(scale)).round().clamp(-8, 7)
    return numbers.flatten(1).to(torch.int8), scale.squeeze(2)


def _not_zero(scale: Tensor) -> Tensor:
    return torch.where(scale == 0, torch.ones_like(scale), scale)
