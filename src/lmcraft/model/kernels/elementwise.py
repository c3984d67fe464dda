"""RMSNorm, rotary positions and the gate of SwiGLU, with their gradients: each reads and writes its tensors once."""

import ctypes
from typing import Any

import torch
from torch import Tensor

from lmcraft.model.kernels.library import call, is_available

MIN_NUMBERS = 2**16  # below it, the call takes longer than is gained
MAX_LANES = 16  # of a register; a row must consist of whole registers
PARTS = 32  # of the rows, as in registers.h


class _Norm(ctypes.Structure):
    """The argument of `rms_norm` and `rms_norm_backward` in rms_norm.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("x", "weight", "grad", "scale", "out", "grad_weight")),
        *((name, ctypes.c_int64) for name in ("rows", "width")),
        ("eps", ctypes.c_float),
        ("next_part", ctypes.c_int32),
    )


class _Rotary(ctypes.Structure):
    """The argument of `rotate` in rotary.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("x", "cos", "sin", "out")),
        *((name, ctypes.c_int64) for name in ("batch", "tokens", "heads", "head_dim")),
        ("sign", ctypes.c_float),
        ("next_part", ctypes.c_int32),
    )


class _SwiGlu(ctypes.Structure):
    """The argument of `swiglu` and `swiglu_backward` in swiglu.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("gate", "up", "grad", "out", "grad_up")),
        ("count", ctypes.c_int64),
        ("next_part", ctypes.c_int32),
    )


def can_compute(x: Tensor, other: Tensor) -> bool:
    """Whether the functions below can compute with these tensors, and are faster than torch: large ones, in training."""
    large = x.numel() >= MIN_NUMBERS and x.shape[-1] % MAX_LANES == 0 and torch.is_grad_enabled()
    return large and x.is_contiguous() and other.is_contiguous() and is_available(x, other)


class RMSNormFunction(torch.autograd.Function):
    """x / sqrt(mean(x^2) + eps) * weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        out, width = torch.empty_like(x), x.shape[-1]
        scale = x.new_empty(x.numel() // width)
        pointers = (x.data_ptr(), weight.data_ptr(), None, scale.data_ptr(), out.data_ptr(), None)
        call("rms_norm", _Norm(*pointers, len(scale), width, eps, 0))
        ctx.save_for_backward(x, weight, scale)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, scale = ctx.saved_tensors
        grad, grad_x, sums = grad.contiguous(), torch.empty_like(x), x.new_zeros(PARTS, len(weight))
        pointers = [tensor.data_ptr() for tensor in (x, weight, grad, scale, grad_x, sums)]
        call("rms_norm_backward", _Norm(*pointers, len(scale), len(weight), 0.0, 0))
        return grad_x, sums.sum(0), None


class RotateFunction(torch.autograd.Function):
    """(x1, x2) cos + (x2, x1) sin for the halves of each head of x (B, T, H, D), and tables as of `rotary_table`."""

    @staticmethod
    def forward(ctx: Any, x_BTHD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotate(x_BTHD, cos, sin, 1.0)

    @staticmethod
    def backward(ctx: Any, grad_BTHD: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _rotate(grad_BTHD.contiguous(), cos, sin, -1.0), None, None  # back by the same angle


def _rotate(x_BTHD: Tensor, cos: Tensor, sin: Tensor, sign: float) -> Tensor:
    out = torch.empty_like(x_BTHD)
    call("rotate", _Rotary(*(x.data_ptr() for x in (x_BTHD, cos, sin, out)), *x_BTHD.shape, sign, 0))
    return out


class SwiGluFunction(torch.autograd.Function):
    """silu(gate) * up."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        out = torch.empty_like(gate)
        call("swiglu", _SwiGlu(gate.data_ptr(), up.data_ptr(), None, out.data_ptr(), None, gate.numel(), 0))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        grad, grad_gate, grad_up = grad.contiguous(), torch.empty_like(gate), torch.empty_like(up)
        pointers = [tensor.data_ptr() for tensor in (gate, up, grad, grad_gate, grad_up)]
        call("swiglu_backward", _SwiGlu(*pointers, gate.numel(), 0))
        return grad_gate, grad_up
