"""Products of two matrices, and a linear layer with its gradients: compiled where that is faster, otherwise torch's.

Shapes: N rows, I inputs, O outputs.
"""

import ctypes
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lmcraft.model.kernels.library import call, is_available

MIN_OPERATIONS = 2**25  # of a product; below it, the call takes longer than is gained
MIN_ROWS = 16


class _Matrix(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("row_stride", ctypes.c_int64), ("column_stride", ctypes.c_int64))


class _Product(ctypes.Structure):
    """The arguments of `multiply` in products.h."""

    _fields_ = (
        *((name, _Matrix) for name in ("a", "b", "c")),
        *((name, ctypes.c_int64) for name in ("rows", "columns", "depth")),
        *((name, ctypes.c_int32) for name in ("accumulate", "symmetric", "parts", "next_part")),
    )


def multiply(a: Tensor, b: Tensor, out: Tensor | None = None, *, accumulate: bool = False) -> Tensor:
    """The product a b of two matrices, without gradients.

    Args:
        a: (N, I).
        b: (I, O), in a's type.
        out: (N, O) with contiguous rows, receives the product; None: a new matrix.
        accumulate: add the product to `out`.
    """
    if can_compute(a, b) and (out is None or out.dtype == a.dtype):
        return _multiply_compiled(a, b, torch.empty(len(a), b.shape[1]) if out is None else out, accumulate)
    if out is None:
        return a @ b
    if out.dtype != a.dtype:
        return out.add_(a @ b) if accumulate else out.copy_(a @ b)
    return out.addmm_(a, b) if accumulate else torch.mm(a, b, out=out)


def multiply_symmetric(a: Tensor, b: Tensor) -> Tensor:
    """The product a b of two float32 matrices that `can_compute`, known to be symmetric: half of it is computed."""
    return _multiply_compiled(a, b, torch.empty(len(a), len(a)), accumulate=False, symmetric=True)


def can_compute(a: Tensor, b: Tensor) -> bool:
    """Whether this product is computed by the compiled function."""
    large = len(a) >= MIN_ROWS and 2 * a.numel() * b.shape[1] >= MIN_OPERATIONS
    return large and is_available(a, b)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x W^T, (..., O), for x (..., I) and a weight (O, I) of its type."""
    if torch.is_grad_enabled() and x.ndim > 1:
        x_NI = x.flatten(0, -2)
        if can_compute(x_NI, weight.T):
            return _Linear.apply(x_NI, weight).view(*x.shape[:-1], len(weight))  # type: ignore[no-any-return, no-untyped-call]
    return F.linear(x, weight)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, weight_OI: Tensor) -> Tensor:
        ctx.save_for_backward(x_NI, weight_OI)
        return multiply(x_NI, weight_OI.T)

    @staticmethod
    def backward(ctx: Any, grad_NO: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x_NI, weight_OI = ctx.saved_tensors
        by_x = multiply(grad_NO, weight_OI) if ctx.needs_input_grad[0] else None
        return by_x, multiply(grad_NO.T, x_NI) if ctx.needs_input_grad[1] else None


def _multiply_compiled(a: Tensor, b: Tensor, out: Tensor, accumulate: bool, symmetric: bool = False) -> Tensor:
    a, b = (x if 1 in x.stride() else x.contiguous() for x in (a, b))
    assert out.stride(1) == 1
    matrices = (_Matrix(x.data_ptr(), *x.stride()) for x in (a, b, out))
    call("multiply", _Product(*matrices, len(a), b.shape[1], a.shape[1], accumulate, symmetric, torch.get_num_threads(), 0))
    return out
