"""Compares a mixer's chunks with its recurrence, values and gradients."""

from collections.abc import Callable

import torch
from torch import Tensor


def random_begins(T: int) -> Tensor:
    """Where documents begin, (2, T): one row has several, the other none."""
    begins = torch.rand(2, T) < 0.05
    begins[1] = False
    return begins


def check_gradients(chunked: Callable[..., Tensor], recurrent: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> None:
    """Both functions of the float64 inputs have the same values and gradients."""
    inputs = tuple(x.requires_grad_() for x in inputs)
    values, expected = chunked(*inputs), recurrent(*inputs)
    torch.testing.assert_close(values, expected, atol=1e-9, rtol=1e-9)
    weights = torch.randn_like(values)
    gradients = torch.autograd.grad((values * weights).sum(), inputs)
    for gradient, other in zip(gradients, torch.autograd.grad((expected * weights).sum(), inputs), strict=True):
        torch.testing.assert_close(gradient, other, atol=1e-8, rtol=1e-8)
