"""4-bit floats (E2M1), two to a byte, the lower half first, with a scale per group of columns: MXFP4 and NVFP4.

MXFP4 has powers of two per 32 columns (OCP Microscaling Formats 1.0), NVFP4 8-bit floats per 16 and one scale for all.
"""

import torch
from torch import Tensor

from lmcraft.model.quantized_checkpoints import float8
from lmcraft.model.quantized_checkpoints.stored_matrix import (
    Decoded,
    Names,
    Parts,
    Settings,
    StoredMatrix,
    find_matrices,
)

GROUP_MXFP4, GROUP_NVFP4 = 32, 16  # columns of a scale
VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)


def find_mxfp4(settings: Settings, names: Names) -> dict[str, StoredMatrix]:
    """The stacked experts of gpt-oss: `_blocks` is (experts, outputs, groups, 16), `_scales` (experts, outputs, groups)."""
    required = {"blocks": "_blocks", "scales": "_scales"}
    return find_matrices(names, "_blocks", required=required, decode=_decode_experts, suffix="")


def _decode_experts(parts: Parts) -> Decoded:
    """The experts as transformers stores them unquantized, (experts, inputs, outputs), in bfloat16, which is exact."""
    blocks, scales = parts["blocks"], parts["scales"]
    if blocks.ndim != 4 or scales.dtype != torch.uint8 or scales.shape != blocks.shape[:-1]:
        raise ValueError(f"{tuple(scales.shape)} scales of {scales.dtype} for {tuple(blocks.shape)} blocks")
    experts = zip(blocks.flatten(-2), scales, strict=True)  # one at a time: a float32 stack takes gigabytes
    return torch.stack([decode(*expert, GROUP_MXFP4).bfloat16() for expert in experts]).mT


def find_modelopt(settings: Settings, names: Names) -> dict[str, StoredMatrix]:
    """The matrices of NVIDIA ModelOpt, in NVFP4 or with 8-bit floats and a scale for all."""
    required = {"weight": ".weight", "scale": ".weight_scale"}
    optional = {"global_scale": ".weight_scale_2"}
    return find_matrices(names, ".weight_scale", required=required, optional=optional, decode=_decode_modelopt)


def _decode_modelopt(parts: Parts) -> Decoded:
    if parts["weight"].dtype != torch.uint8:
        return float8.decode(parts)
    if parts["scale"].dtype == torch.uint8:
        return decode(parts["weight"], parts["scale"], GROUP_MXFP4)
    factor = float8.decode_scales(parts["global_scale"])
    return decode(parts["weight"], float8.decode_scales(parts["scale"]) * factor.reshape(()), GROUP_NVFP4)


def decode(packed: Tensor, scales: Tensor, group_size: int) -> Tensor:
    """The float32 matrix of (..., columns / 2) bytes and (..., columns / group_size) scales.

    Raises:
        ValueError: the tensors do not belong together.
    """
    expected = (*packed.shape[:-1], packed.shape[-1] * 2 // group_size) if packed.ndim else None
    if packed.dtype != torch.uint8 or scales.shape != expected or packed.shape[-1] * 2 % group_size:
        raise ValueError(f"{tuple(scales.shape)} scales for {tuple(packed.shape)} bytes of {packed.dtype}")
    pairs = torch.tensor([(VALUES[byte & 15], VALUES[byte >> 4]) for byte in range(256)])
    values = pairs[packed.int()].flatten(-2)
    return (values.view(*scales.shape, -1) * float8.decode_scales(scales)[..., None]).flatten(-2)
