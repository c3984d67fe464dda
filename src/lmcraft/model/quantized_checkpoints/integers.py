"""Packed integers with scales and zero points, which all integer formats end in.

Shapes: O outputs, I inputs, G groups of inputs with a scale and a zero point each.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lmcraft.model.quantized_checkpoints.stored_matrix import Decoded
from lmcraft.model.quantized_matrix import GROUP_SIZE, QuantizedMatrix

BITS_PER_WORD = 32


def unpack(words: Tensor, bits: int, count: int) -> Tensor:
    """The unsigned integers of a stream of bits, lowest first, (..., count), uint8; they may cross borders of words.

    Args:
        words: (..., words), int32.
        bits: of an integer, 1 to 8.
        count: of the integers in a row; what follows them is padding.

    Raises:
        ValueError: the words do not hold so many integers.
    """
    if words.dtype != torch.int32 or not 1 <= bits <= 8 or words.shape[-1] != -(-count * bits // BITS_PER_WORD):
        raise ValueError(f"{tuple(words.shape)} words of {words.dtype} do not hold {count} columns of {bits} bits")
    stream = words.contiguous().view(torch.uint8)  # four bytes per word, lowest first
    if bits in (1, 2, 4, 8):
        parts = [(stream >> shift) & ((1 << bits) - 1) for shift in range(0, 8, bits)]
        return torch.stack(parts, dim=-1).flatten(-2)[..., :count]
    # `bits` bytes hold eight integers, each in two neighboring bytes
    stream = F.pad(stream, (0, -stream.shape[-1] % bits)).view(*stream.shape[:-1], -1, bits).to(torch.int16)
    following = F.pad(stream[..., 1:], (0, 1))
    positions = [divmod(number * bits, 8) for number in range(8)]
    parts = [(stream[..., byte] | following[..., byte] << 8) >> shift for byte, shift in positions]
    return (torch.stack(parts, dim=-1) & ((1 << bits) - 1)).to(torch.uint8).flatten(-2)[..., :count]


def center(numbers: Tensor, bits: int) -> Tensor:
    """Unsigned integers of so many bits as signed ones around zero, int8."""
    return (numbers - (1 << bits - 1)).view(torch.int8)


def decode_integers(
    numbers_OI: Tensor,
    scales_OG: Tensor,
    bits: int,
    *,
    zeros_OG: Tensor | None = None,
    group_size: int = -1,
    groups_I: Tensor | None = None,
) -> Decoded:
    """(numbers - zeros) * scales, as integers if the native step reads them so and the numbers stay equal.

    Args:
        numbers_OI: signed, int8.
        scales_OG: of each group; O or G may be 1.
        bits: of the numbers.
        zeros_OG: the numbers that stand for 0; None: 0 itself.
        group_size: columns of a group; -1: all.
        groups_I: the group of each column; None: groups of neighbors.

    Raises:
        ValueError: the tensors do not belong together.
    """
    rows, columns = numbers_OI.shape
    group_size = columns if group_size == -1 else group_size
    count = scales_OG.shape[-1] if scales_OG.ndim == 2 else 0
    zeros = zeros_OG is None or zeros_OG.shape == scales_OG.shape
    if not zeros or scales_OG.ndim != 2 or scales_OG.shape[0] not in (1, rows) or not scales_OG.is_floating_point():
        raise ValueError(f"{tuple(scales_OG.shape)} scales for {rows} x {columns} weights")
    neighbors_I = torch.arange(columns) // group_size
    if groups_I is None and count != -(-columns // group_size):
        raise ValueError(f"{count} groups of {group_size} columns for {rows} x {columns} weights")
    if groups_I is not None:
        groups_I = groups_I.long()
        if groups_I.shape != (columns,) or not bool(((groups_I >= 0) & (groups_I < count)).all()):
            raise ValueError(f"columns in other groups than the {count} that have scales")
        groups_I = None if torch.equal(groups_I, neighbors_I) else groups_I
    scales_OG = scales_OG.float().expand(rows, -1)
    zeros_OG = None if zeros_OG is None or not bool(zeros_OG.any()) else zeros_OG.float().expand(rows, -1)
    equal_groups = groups_I is None and count * group_size == columns
    if equal_groups and (kept := _keep(numbers_OI, scales_OG, zeros_OG, bits)) is not None:
        return kept
    dense_OI = numbers_OI.float()
    if equal_groups:
        dense_OGI = dense_OI.view(rows, count, -1)
        dense_OGI = dense_OGI if zeros_OG is None else dense_OGI.sub_(zeros_OG[:, :, None])
        return dense_OGI.mul_(scales_OG[:, :, None]).view(rows, columns)
    groups_I = neighbors_I if groups_I is None else groups_I
    if zeros_OG is not None:
        dense_OI -= zeros_OG[:, groups_I]
    return dense_OI * scales_OG[:, groups_I]


def _keep(numbers_OI: Tensor, scales_OG: Tensor, zeros_OG: Tensor | None, bits: int) -> QuantizedMatrix | None:
    """The matrix of equal groups with the scales that the native step reads; None if these would round something."""
    columns, count = numbers_OI.shape[1], scales_OG.shape[1]
    if bits == 8 and count == 1 and zeros_OG is None:
        return QuantizedMatrix(numbers_OI.contiguous(), scales_OG.contiguous(), 8)
    if bits != 4 or columns // count % GROUP_SIZE:
        return None
    shifts_OG = None if zeros_OG is None else -zeros_OG * scales_OG
    if not all(torch.equal(tensor.half().float(), tensor) for tensor in (scales_OG, shifts_OG) if tensor is not None):
        return None
    repeats = columns // count // GROUP_SIZE
    spread = [None if tensor is None else tensor.repeat_interleave(repeats, dim=1) for tensor in (scales_OG, shifts_OG)]
    assert spread[0] is not None
    return QuantizedMatrix(numbers_OI.contiguous(), spread[0], 4, spread[1])
