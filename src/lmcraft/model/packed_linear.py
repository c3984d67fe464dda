"""Products of a few rows whose numbers do not depend on each other, by weights in the layout of PyTorch's libraries.

PyTorch's own product of one row is another function than that of several, and its product of several packs the weights anew
each time. Packed once, eight rows take hardly longer than one.

Shapes: R rows, I inputs, O outputs.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from lmcraft.model.products import linear

Product = Callable[[Tensor], Tensor]
"""Maps float32 rows (R, I) to float32 rows (R, O)."""

MAX_PACKED_ROWS = 8
LAYOUT_ROWS = 64  # oneDNN's layout for so many rows was fast for 1, 8 and 256


class PackedLinear(nn.Module):
    """x W^T + b for float32 rows: up to 8 are computed as each would be alone, bit for bit.

    Args:
        weight: (O, I), of any type, on the CPU.
        bias: (O,), or None.
        pack: False if there is no memory for a copy of the weight.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, pack: bool = True) -> None:
        super().__init__()
        self.weight = weight.detach()
        """The weight itself, for layers that read it."""
        self.out_features, self.in_features = weight.shape
        self._product = (_pack(weight) if pack else None) or _product_row_by_row(weight)
        self._bias = None if bias is None else bias.detach().float()

    def forward(self, x: Tensor) -> Tensor:
        y = self._product(x.reshape(-1, x.shape[-1])).view(*x.shape[:-1], -1)
        return y if self._bias is None else y + self._bias


def packed_bytes(weight: Tensor) -> int:
    """The memory that a packed copy takes."""
    return weight.numel() * (2 if _fits_float16(weight) else 4)


def _fits_float16(weight: Tensor) -> bool:
    """Whether float16 holds a weight of 16 bits: bfloat16's values, except that those below 6e-5 have an error of 3e-8."""
    return weight.dtype.itemsize == 2 and bool(weight.abs().max() <= torch.finfo(torch.float16).max)


def _pack(weight: Tensor) -> Product | None:
    """The fastest product of this machine; None if PyTorch has none for packed weights."""
    if "fbgemm" in torch.backends.quantized.supported_engines and _fits_float16(weight):
        return _pack_float16(weight)
    return _pack_float32(weight) if torch.backends.mkldnn.is_available() else None  # type: ignore[no-untyped-call]


def _pack_float16(weight: Tensor) -> Product:
    """FBGEMM's product of float16 weights and float32 rows: every row adds up its products one after another."""
    engine, torch.backends.quantized.engine = torch.backends.quantized.engine, "fbgemm"
    try:
        packed = torch.ops.quantized.linear_prepack_fp16(weight.detach().float(), None)
    finally:
        torch.backends.quantized.engine = engine
    return lambda x_RI: torch.ops.quantized.linear_dynamic_fp16(x_RI, packed)


def _pack_float32(weight: Tensor) -> Product:
    """oneDNN's product, with zeros below too few rows: of one row it may be another function than of several."""
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().float().contiguous(), LAYOUT_ROWS)
    zeros_RI = torch.zeros(MAX_PACKED_ROWS, weight.shape[1])

    def multiply(x_RI: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x_RI, packed, None, "none", [], "")  # type: ignore[no-any-return]

    @cache
    def fewest_rows(num_threads: int) -> int:
        return _fewest_rows(multiply, weight.shape[1])

    def multiply_padded(x_RI: Tensor) -> Tensor:
        num_rows = max(len(x_RI), fewest_rows(torch.get_num_threads()))
        return multiply(torch.cat((x_RI, zeros_RI[len(x_RI) : num_rows])))[: len(x_RI)]

    return multiply_padded


def _fewest_rows(multiply: Product, num_inputs: int) -> int:
    """From how many rows on, up to 8, a product gives each row the same numbers; tried with random rows."""
    x_RI = torch.randn(MAX_PACKED_ROWS, num_inputs, generator=torch.Generator().manual_seed(0))
    y_RO = multiply(x_RI)
    counts = range(MAX_PACKED_ROWS - 1, 0, -1)
    return next((n + 1 for n in counts if not torch.equal(multiply(x_RI[-n:]), y_RO[-n:])), 1)


def _product_row_by_row(weight: Tensor) -> Product:
    """Of up to 8 rows; more, which are a chunk of a prompt, are one product."""
    weight = weight.detach()

    def multiply(x_RI: Tensor) -> Tensor:
        rows = [x_RI] if len(x_RI) > MAX_PACKED_ROWS else [x_RI[n : n + 1] for n in range(len(x_RI))]
        return torch.cat([linear(row.to(weight.dtype), weight) for row in rows]).float()

    return multiply
