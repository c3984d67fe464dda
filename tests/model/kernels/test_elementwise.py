"""Compiled RMSNorm and SwiGLU: values and gradients of torch's formulas."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lmcraft.model.config import TransformerConfig
from lmcraft.model.kernels import elementwise
from lmcraft.model.kernels.elementwise import MIN_NUMBERS, RMSNormFunction, RotateFunction, SwiGluFunction, can_compute
from lmcraft.model.kernels.library import is_available
from lmcraft.model.rotary import rotary_table, rotate

pytestmark = pytest.mark.skipif(not is_available(torch.ones(1)), reason="no C++ compiler, or torch has other threads")


def _check(function: Callable[..., Tensor], formula: Callable[..., Tensor], *inputs: Tensor) -> None:
    y, expected = function(*inputs), formula(*inputs)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6)
    grad = torch.randn_like(y)
    pairs = (torch.autograd.grad(out, inputs, grad) for out in (y, expected))
    for gradient, right in zip(*pairs, strict=True):
        torch.testing.assert_close(gradient, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 16), (3, 5, 64), (100, 48)])
def test_rms_norm(shape: tuple[int, ...]) -> None:
    x, weight = torch.randn(shape, requires_grad=True), torch.randn(shape[-1], requires_grad=True)
    _check(lambda x, w: RMSNormFunction.apply(x, w, 1e-3), lambda x, w: F.rms_norm(x, w.shape, w, 1e-3), x, weight)  # type: ignore[no-untyped-call]


def test_swiglu_also_of_large_numbers() -> None:
    gate, up = torch.linspace(-200, 200, 1600).view(100, 16).requires_grad_(), torch.randn(100, 16, requires_grad=True)
    _check(SwiGluFunction.apply, lambda gate, up: F.silu(gate) * up, gate, up)


def test_rotary_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 5, 3, 64, requires_grad=True)
    cos, sin = (table[None, :, None] for table in rotary_table(5, TransformerConfig(head_dim=64, num_attention_heads=3)))
    _check(lambda x: RotateFunction.apply(x, cos, sin), lambda x: rotate(x, cos, sin), x)
    monkeypatch.setattr(elementwise, "MIN_NUMBERS", 0)
    assert isinstance(rotate(x, cos, sin).grad_fn, RotateFunction._backward_cls)  # type: ignore[attr-defined]


def test_what_torch_computes() -> None:
    weight, large = torch.ones(64), torch.randn(MIN_NUMBERS // 64, 64)
    assert can_compute(large, weight)
    strange = (large[:1], large.bfloat16(), large.T.contiguous().T, large.view(-1, 8), large.to("meta"))
    assert not any(can_compute(x, weight) for x in strange)
    with torch.no_grad():
        assert not can_compute(large, weight)
