"""The gradient of a weight for each row of a micro-batch: the norms, and the weighted sum.

A weight W of a linear layer has the gradient G = sum over t of g_t a_t^T in a row, for inputs a_t and gradients g_t of the
outputs. Either the G of all rows are computed and kept, or the norms come from |G|^2 = sum over s, t of (a_s a_t) (g_s g_t)
and the weighted sum is one product (Goodfellow, arXiv 1510.01799; Li et al., arXiv 2110.05679, section 4; Bu et al., arXiv
2210.00038, section 3, whose choice by the sizes alone is replaced by one that weighs memory traffic).

Shapes: B rows, T tokens, I inputs, O outputs, C width, V vocabulary, U different tokens of all rows.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lmcraft.model.kernels.product import can_compute, multiply

MAX_NUMBERS_PER_PAIR = 4  # of a kept gradient per number of the activations; beyond it, the pairs of tokens are cheaper


class RowGradients(Protocol):
    """The gradients of one weight for B rows."""

    def squared_norms(self) -> Tensor:
        """|G|^2 of each row, (B,), in float32 at least."""

    def add_sum(self, total: Tensor, coefficients_B: Tensor) -> None:
        """Add the sum over the rows of coefficient * G to `total`, of the weight's shape and in the coefficients' type."""


@dataclass(frozen=True)
class KeptGradients:
    """Gradients that are small enough to be kept, (B, ...)."""

    gradients: Tensor

    def squared_norms(self) -> Tensor:
        rows = self.gradients.flatten(1)
        norms: Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=wide_type(rows))
        return norms.square()

    def add_sum(self, total: Tensor, coefficients_B: Tensor) -> None:
        rows = self.gradients.flatten(1)
        if rows.dtype == coefficients_B.dtype and total.is_contiguous():
            total.view(-1).addmv_(rows.T, coefficients_B)
            return
        for gradient, coefficient in zip(self.gradients, coefficients_B, strict=True):
            total.add_(gradient * coefficient)


@dataclass(frozen=True)
class ProductGradients:
    """G = sum over t of g_t a_t^T, from a (B, T, I) and g (B, T, O)."""

    inputs: Tensor
    gradients: Tensor

    def squared_norms(self) -> Tensor:
        a_BTI, g_BTO = (x.to(wide_type(x)) for x in (self.inputs, self.gradients))
        a_BTT, g_BTT = (torch.bmm(x, x.transpose(1, 2)) for x in (a_BTI, g_BTO))
        return a_BTT.mul_(g_BTT).sum((1, 2)).clamp_(min=0)

    def add_sum(self, total: Tensor, coefficients_B: Tensor) -> None:
        weighted = self.gradients * coefficients_B.to(self.gradients.dtype)[:, None, None]
        multiply(weighted.flatten(0, 1).T, self.inputs.flatten(0, 1), total, accumulate=True)


@dataclass(frozen=True)
class LookupGradients:
    """The gradients of an embedding, from ids (B, T) and the gradients of the vectors that were looked up, (B, T, C)."""

    ids: Tensor
    gradients: Tensor

    def squared_norms(self) -> Tensor:
        """Those of equal tokens of a row are added first."""
        B = len(self.ids)
        rows_B1 = torch.arange(B, device=self.ids.device)[:, None]
        keys = (self.ids * B + rows_B1).flatten()
        keys_U, groups = torch.unique(keys, return_inverse=True)
        g_NC = self.gradients.flatten(0, 1)
        sums_UC = g_NC.new_zeros(len(keys_U), g_NC.shape[1], dtype=wide_type(g_NC))
        sums_UC.index_add_(0, groups, g_NC.to(sums_UC.dtype))
        squares_U = sums_UC.square().sum(1)
        return squares_U.new_zeros(B).index_add_(0, keys_U % B, squares_U)

    def add_sum(self, total: Tensor, coefficients_B: Tensor) -> None:
        weighted = self.gradients.to(total.dtype) * coefficients_B[:, None, None]
        total.index_add_(0, self.ids.flatten(), weighted.flatten(0, 1))


def matrix_gradients(inputs: Tensor, gradients: Tensor) -> RowGradients:
    """The gradients of a matrix (O, I) from inputs (B, T, I) and gradients of the outputs (B, T, O), in the cheaper form."""
    T, numbers = inputs.shape[1], inputs.shape[2] * gradients.shape[2]
    if numbers > MAX_NUMBERS_PER_PAIR * T * (inputs.shape[2] + gradients.shape[2]):
        return ProductGradients(inputs, gradients)
    return KeptGradients(row_products(gradients, inputs))


def row_products(g_BTO: Tensor, a_BTI: Tensor) -> Tensor:
    """g^T a of each row, (B, O, I)."""
    if not can_compute(g_BTO[0].T, a_BTI[0]):
        return torch.bmm(g_BTO.transpose(1, 2), a_BTI)
    products = torch.empty(len(g_BTO), g_BTO.shape[2], a_BTI.shape[2])
    for g_TO, a_TI, product in zip(g_BTO, a_BTI, products, strict=True):
        multiply(g_TO.T, a_TI, product)
    return products


def wide_type(x: Tensor) -> torch.dtype:
    """Float32, or float64 for tensors of it."""
    return torch.promote_types(x.dtype, torch.float32)
