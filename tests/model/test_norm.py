"""Norms against their definition, gradients included."""

import pytest
import torch
from torch import Tensor

from lmcraft.model.norm import HeadLayerNorm, LayerNorm, LayerNorm1p, RMSNorm, UnweightedRMSNorm


def rms_norm_formula(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_rms_norm_and_its_gradients_match_the_formula(dtype: torch.dtype, close: float) -> None:
    norm = RMSNorm(24, eps=1e-2)
    torch.nn.init.normal_(norm.weight)
    x, grad = torch.randn(3, 5, 24).to(dtype).requires_grad_(), torch.randn(3, 5, 24).to(dtype)
    exact_x, exact_weight = x.detach().double().requires_grad_(), norm.weight.detach().double().requires_grad_()
    normed = norm(x)
    exact = rms_norm_formula(exact_x, exact_weight, norm.eps)
    assert normed.dtype == dtype
    normed.backward(grad)
    exact.backward(grad.double())
    for ours, theirs in ((normed, exact), (x.grad, exact_x.grad), (norm.weight.grad, exact_weight.grad)):
        assert ours is not None and theirs is not None
        assert ((ours.double() - theirs).norm() / theirs.norm()).item() < close


def test_rms_norm_leaves_its_input_alone() -> None:
    norm, x = RMSNorm(8, eps=1e-6), torch.randn(2, 8, requires_grad=True)
    before = x.detach().clone()
    norm(x).sum().backward()
    assert torch.equal(x, before)


def test_layer_norms_without_bias_with_an_offset_and_of_each_head_match_the_formula() -> None:
    x = torch.randn(2, 5, 3, 8)
    normed = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-2).sqrt()
    plain, offset, heads = LayerNorm(8, 1e-2, bias=False), LayerNorm1p(8, 1e-2), HeadLayerNorm(3, 8, 1e-2)
    for norm in (plain, offset, heads):
        torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(offset.bias)
    torch.testing.assert_close(LayerNorm(8, 1e-2, elementwise_affine=False)(x), normed)
    torch.testing.assert_close(plain(x), normed * plain.weight)
    torch.testing.assert_close(offset(x), normed * (1 + offset.weight) + offset.bias)
    torch.testing.assert_close(heads(x), normed * heads.weight)


def test_an_unweighted_rms_norm_is_one_with_weights_of_one() -> None:
    x = torch.randn(3, 8)
    torch.testing.assert_close(UnweightedRMSNorm(1e-2)(x), RMSNorm(8, 1e-2)(x))
