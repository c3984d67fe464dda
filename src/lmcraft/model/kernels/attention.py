"""Causal attention with its gradients, without ever storing all scores.

Shapes: B batch, T tokens, H query heads, K key-value heads, D head width.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor

from lmcraft.model.kernels.library import call, is_available

MIN_SCORES = 2**18  # of a call; below it, the call takes longer than is gained
MAX_LANES = 16  # of a register; rows of scores must consist of whole registers


class _Attention(ctypes.Structure):
    """The argument of `attention` and `attention_backward` in attention.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("q", "k", "v", "y", "grad_y", "grad_q", "grad_k", "grad_v")),
        *((name, ctypes.c_void_p) for name in ("mask", "log_sums")),
        *((name, ctypes.c_int64) for name in ("batch", "tokens", "heads", "kv_heads", "head_dim", "masks")),
        ("scale", ctypes.c_float),
        ("next_part", ctypes.c_int32),
    )


def can_compute(q_BTHD: Tensor, k_BTKD: Tensor, v_BTKD: Tensor, mask: Tensor) -> bool:
    """Whether `CausalAttention` can compute with these tensors, and is faster than torch: long rows, in training."""
    B, T, H, _ = q_BTHD.shape
    suitable = torch.is_grad_enabled() and k_BTKD.shape[1] == T and T % MAX_LANES == 0 and B * H * T * T >= MIN_SCORES
    tensors = (q_BTHD, k_BTKD, v_BTKD, mask)
    suitable = suitable and k_BTKD.shape == v_BTKD.shape  # the kernel has one head width
    return suitable and all(x.is_contiguous() for x in tensors) and is_available(*tensors)


class CausalAttention(torch.autograd.Function):
    """softmax(scale q k^T + mask) v, (B, T, H, D), for a mask (B or 1, T, T) that hides later keys."""

    @staticmethod
    def forward(ctx: Any, q_BTHD: Tensor, k_BTKD: Tensor, v_BTKD: Tensor, mask: Tensor, scale: float) -> Tensor:
        B, T, H, _ = q_BTHD.shape
        y_BTHD, log_sums = torch.empty_like(q_BTHD), q_BTHD.new_empty(B, H, T)
        ctx.save_for_backward(q_BTHD, k_BTKD, v_BTKD, y_BTHD, mask, log_sums)
        ctx.scale = scale
        call("attention", _argument((q_BTHD, k_BTKD, v_BTKD, y_BTHD), (), mask, log_sums, scale))
        return y_BTHD

    @staticmethod
    def backward(ctx: Any, grad_BTHD: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, mask, log_sums = ctx.saved_tensors
        grad_BTHD, gradients = grad_BTHD.contiguous(), [torch.empty_like(x) for x in tensors[:3]]
        call("attention_backward", _argument(tensors, (grad_BTHD, *gradients), mask, log_sums, ctx.scale))
        return *gradients, None, None


def _argument(tensors: Any, gradients: Any, mask: Tensor, log_sums: Tensor, scale: float) -> _Attention:
    (B, T, H, D), K = tensors[0].shape, tensors[1].shape[2]
    pointers = [x.data_ptr() for x in (*tensors, *gradients)] + [None] * (4 - len(gradients))
    return _Attention(*pointers, mask.data_ptr(), log_sums.data_ptr(), B, T, H, K, D, len(mask), scale, 0)
