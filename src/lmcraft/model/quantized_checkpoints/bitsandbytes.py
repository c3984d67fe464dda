"""bitsandbytes: NF4 and FP4, indices into a table of 16 values scaled per block, and LLM.int8, with a scale per row.

The table and the rest of the state are stored beside each weight, so nothing depends on config.json.
"""

import json
from math import prod
from typing import Any

import torch
from torch import Tensor

from lmcraft.model.quantized_checkpoints.integers import decode_integers
from lmcraft.model.quantized_checkpoints.stored_matrix import Decoded, Names, Parts, Settings, StoredMatrix, find_matrices

TYPES_4_BIT = ("nf4", "fp4")
ONE_127TH = 7.874015718698502e-3  # as bitsandbytes rounds it
ROW_MAJOR = 0


def find(settings: Settings, names: Names) -> dict[str, StoredMatrix]:
    """The quantized matrices of a checkpoint."""
    required = {"numbers": ".weight", "scales": ".weight.absmax", "values": ".weight.quant_map"}
    nested = {"nested_scales": ".weight.nested_absmax", "nested_values": ".weight.nested_quant_map"}
    matrices = find_matrices(
        names,
        ".SCB",
        required={"numbers": ".weight", "scales": ".SCB"},
        optional={"layout": ".weight_format"},
        decode=_decode_int8,
    )
    for kind in TYPES_4_BIT:
        state = f".weight.quant_state.bitsandbytes__{kind}"
        with_state = {**required, "state": state}
        matrices |= find_matrices(names, state, required=with_state, optional=nested, decode=_decode_4_bit)
    return matrices


def _decode_int8(parts: Parts) -> Decoded:
    numbers, scales = parts["numbers"], parts["scales"]
    if numbers.dtype != torch.int8 or numbers.ndim != 2 or scales.numel() != len(numbers):
        raise ValueError(f"{tuple(scales.shape)} scales for {tuple(numbers.shape)} weights of {numbers.dtype}")
    if "layout" in parts and bool(parts["layout"].ne(ROW_MAJOR).any()):
        raise ValueError("a layout for one kind of GPU; save it again with a newer bitsandbytes")
    return decode_integers(numbers, scales.float().view(-1, 1) * ONE_127TH, 8)


def _decode_4_bit(parts: Parts) -> Decoded:
    """Values of a table times the scale of their block; the scales may be quantized too, with a table of 256 values."""
    state = _read_state(parts["state"])
    shape: Any = state.get("shape")
    values = parts["values"].float().flatten()
    packed = parts["numbers"].contiguous().flatten().view(torch.uint8)  # also stored as bytes of another type
    sizes = isinstance(shape, list) and len(shape) == 2 and all(type(size) is int and size > 0 for size in shape)
    if not sizes or values.numel() != 16 or len(packed) != -(-prod(shape) // 2):
        raise ValueError(f"{len(packed)} bytes and {values.numel()} values for weights of shape {str(shape)[:40]}")
    scales = parts["scales"].flatten()
    if scales.dtype == torch.uint8:
        missing = [name for name in ("nested_scales", "nested_values") if name not in parts]
        if missing or parts["nested_values"].numel() != 256:
            raise ValueError("quantized scales without their own scales")
        nested = parts["nested_values"].float().flatten()[scales.long()]
        scales = _scale_blocks(nested, parts["nested_scales"].flatten(), state.get("nested_blocksize"))
        scales = scales + torch.tensor(float(state["nested_offset"]))
    pairs = torch.stack((values.repeat_interleave(16), values.repeat(16)), dim=1)  # of a byte: the upper half first
    return _scale_blocks(pairs[packed.int()].flatten()[: prod(shape)], scales, state.get("blocksize")).view(shape)


def _read_state(tensor: Tensor) -> dict[str, Any]:
    if tensor.dtype != torch.uint8:
        raise ValueError(f"a state of {tensor.dtype}")
    state = json.loads(bytes(tensor.flatten().tolist()))
    if not isinstance(state, dict):
        raise ValueError("a state that is not a table")
    return state


def _scale_blocks(values: Tensor, scales: Tensor, size: Any) -> Tensor:
    """The values times the scales of their blocks; the last block may be shorter."""
    if type(size) is not int or size < 1 or scales.numel() != -(-len(values) // size) or not scales.is_floating_point():
        raise ValueError(f"{scales.numel()} scales of blocks of {str(size)[:40]} for {len(values)} numbers")
    if len(values) % size == 0:
        return (values.view(-1, size) * scales.float()[:, None]).flatten()
    return values * scales.float().repeat_interleave(min(size, len(values)))[: len(values)]
