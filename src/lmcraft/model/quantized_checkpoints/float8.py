"""8-bit floats with scales per tensor, row or block of rows and columns.

Shapes: O outputs, I inputs; a stack of matrices has dimensions before these.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lmcraft.model.quantized_checkpoints.stored_matrix import Decoded, Names, Parts, Settings, StoredMatrix

FLOATS_8 = (torch.float8_e4m3fn, torch.float8_e5m2)
# What follows the name of a weight or, from the second line on, of its layer.
SCALES_OF_WEIGHTS = ("_scale_inv", "_scale")
SCALES_OF_LAYERS = (".scale", ".qscale_weight")
EXPONENT_BIAS = 127  # of scales that are powers of two, stored as bytes


def find(settings: Settings, names: Names) -> dict[str, StoredMatrix]:
    """The quantized matrices of a checkpoint.

    Raises:
        ValueError: the block size is damaged.
    """
    block = block_size(settings.get("weight_block_size"))
    decode_blocks = partial(decode, block=block)
    return {weight: StoredMatrix({"weight": weight, "scale": scale}, decode_blocks) for weight, scale in _scaled(names)}


def _scaled(names: Names) -> list[tuple[str, str]]:
    """The weights that have scales, with these."""
    pairs = [(name.removesuffix(end), name) for end in SCALES_OF_WEIGHTS for name in names if name.endswith(end)]
    pairs += [(name.removesuffix(end) + ".weight", name) for end in SCALES_OF_LAYERS for name in names if name.endswith(end)]
    return [(weight, scale) for weight, scale in pairs if weight in names]


def block_size(value: Any) -> tuple[int, int] | None:
    """The rows and columns of a block, from config.json; None if it has none.

    Raises:
        ValueError: it is not a pair of positive numbers.
    """
    if value is None:
        return None
    if isinstance(value, Sequence) and len(value) == 2 and all(type(size) is int and size > 0 for size in value):
        return value[0], value[1]
    raise ValueError(f"blocks of {str(value)[:40]}")


def decode(parts: Parts, *, block: tuple[int, int] | None = None) -> Decoded:
    """The float32 matrix; `block` is the size of blocks, None if there is one scale for all or one per row.

    Raises:
        ValueError: the tensors do not belong together.
    """
    weight = parts["weight"]
    if weight.dtype not in FLOATS_8:
        raise ValueError(f"numbers of {weight.dtype} in place of 8-bit floats")
    return weight.float() * spread(decode_scales(parts["scale"]), weight.shape, block)


def decode_scales(scales: Tensor) -> Tensor:
    """Scales in float32; bytes are powers of two."""
    if scales.dtype == torch.uint8:
        return torch.ldexp(torch.ones(scales.shape), scales.int() - EXPONENT_BIAS)
    if not scales.is_floating_point():
        raise ValueError(f"scales of {scales.dtype}")
    return scales.float()


def spread(scales: Tensor, shape: torch.Size, block: tuple[int, int] | None = None) -> Tensor:
    """Scales in a shape that multiplies a matrix of (..., O, I): one for all, per row, or per block of rows and columns.

    Raises:
        ValueError: there are not so many scales; other blocks are not derived from their number.
    """
    if scales.numel() == 1 and (block is None or scales.ndim < 2):
        return scales.reshape(())
    if scales.ndim == 1 and len(shape) == 2:
        scales = scales[:, None]
    kind = "without a block size" if block is None else f"in blocks of {block[0]} x {block[1]}"
    mismatch = ValueError(f"{tuple(scales.shape)} scales for {tuple(shape)} weights {kind} in config.json")
    if scales.ndim != len(shape) or (block is not None and len(shape) < 2):
        raise mismatch
    sizes = (1,) * len(shape) if block is None else (1,) * (len(shape) - 2) + block
    for dim, (size, count, length) in enumerate(zip(sizes, scales.shape, shape, strict=True)):
        in_blocks = block is not None and dim >= len(shape) - 2
        if count != -(-length // size) and (in_blocks or count != 1):
            raise mismatch
        if count != 1 and size != 1:
            scales = scales.repeat_interleave(size, dim=dim).narrow(dim, 0, length)
    return scales
