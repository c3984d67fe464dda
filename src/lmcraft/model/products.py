"""Products in the activations' data type, except where the processor would emulate it."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from lmcraft.model.kernels.product import linear as linear_with_gradients
from lmcraft.processor import has_bf16

# torch multiplies one row by bfloat16 weights at the speed of memory on every processor; more rows, up to a hundred times
# slower than in float32 on those without instructions for bfloat16.
MIN_WIDENED_ROWS = 4


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b in x's type, (..., out), for x (..., in); the weights may have another type."""
    if is_emulated(x) and x.numel() >= MIN_WIDENED_ROWS * x.shape[-1]:
        return F.linear(x.float(), weight.float(), None if bias is None else bias.float()).to(x.dtype)
    weight = weight if weight.dtype == x.dtype else weight.to(x.dtype)
    bias = None if bias is None else bias.to(x.dtype)
    if not torch.is_grad_enabled():
        return F.linear(x, weight, bias)
    y = linear_with_gradients(x, weight)
    return y if bias is None else y + bias


def is_emulated(x: Tensor) -> bool:
    """Whether this processor would emulate products of x, and no gradients are needed (which would take more memory)."""
    return x.dtype == torch.bfloat16 and x.device.type == "cpu" and not torch.is_grad_enabled() and not _has_bf16()


@cache
def _has_bf16() -> bool:
    return has_bf16()
