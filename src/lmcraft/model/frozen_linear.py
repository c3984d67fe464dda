"""Frozen linear layers with 8-bit or 4-bit weights, for training adapters on a quantized base (QLoRA, arXiv 2305.14314)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.model.linear import Linear
from lmcraft.model.quantized_matrix import Bits, QuantizedMatrix, quantize_groups, quantize_rows


class FrozenLinear(nn.Module):
    """x W^T + b with a quantized W; only x gets a gradient.

    4-bit values are packed two to a byte. W is dequantized for each product, forward and backward, and not kept.
    """

    def __init__(self, linear: Linear, bits: Bits) -> None:
        super().__init__()
        self.out_features, self.in_features, self.bits = linear.out_features, linear.in_features, bits
        self.bias = linear.bias
        quantized = linear.quantized
        if quantized is None or quantized.bits != bits:
            weight = linear.weight.detach().float()
            quantized = quantize_rows(weight) if bits == 8 else quantize_groups(weight)
        self.numbers: Tensor
        self.scales: Tensor
        self.register_buffer("numbers", quantized.numbers if bits == 8 else _pack(quantized.numbers), persistent=False)
        self.register_buffer("scales", quantized.scales.clone(), persistent=False)
        self.shifts: Tensor | None
        self.register_buffer("shifts", None if quantized.shifts is None else quantized.shifts.clone(), persistent=False)

    @property
    def weight(self) -> Tensor:
        """The dequantized matrix, (out, in), float32."""
        numbers = self.numbers if self.bits == 8 else _unpack(self.numbers)
        return QuantizedMatrix(numbers, self.scales, self.bits, self.shifts).dequantize()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _QuantizedProduct.apply(x, self)  # type: ignore[no-untyped-call]
        return y if self.bias is None else y + self.bias.to(x.dtype)


class _QuantizedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, linear: FrozenLinear) -> Tensor:
        ctx.linear = linear
        return F.linear(x, linear.weight.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, None]:
        return grad_y @ ctx.linear.weight.to(grad_y.dtype), None


def _pack(numbers: Tensor) -> Tensor:
    shifted = (numbers + 8).to(torch.uint8)
    return shifted[:, 0::2] | (shifted[:, 1::2] << 4)


def _unpack(packed: Tensor) -> Tensor:
    both = torch.stack([packed & 15, packed >> 4], dim=-1).flatten(1)
    return both.to(torch.int8) - 8
