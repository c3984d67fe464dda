"""The gradient of a weight for each row of a micro-batch: the norms, and the weighted sum.

A weight W of a linear layer has the gradient G = sum over t of g_t a_t^T in a row, for inputs a_t and gradients g_t of the
outputs. Either the G of all rows are computed and kept, or the norms come from |G|^2 = sum over s, t of (a_s a_t) (g_s g_t)
and the weighted sum is one product (Goodfellow, arXiv 1510.01799; Li et al., arXiv 2110.05679, section 4; Bu et al., arXiv
2210.00038, section 3, whose choice by the sizes alone is replaced by one that weighs memory traffic).

Shapes: B rows, T tokens, I inputs, O outputs, C width, V vocabulary, U different tokens of all rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lmcraft.model.kernels.product import can_compute, multiply

# A number of a kept gradient is written once and read twice, in the time of so many operations of products.
OPERATIONS_PER_NUMBER = 80
MAX_NUMBERS_PER_INPUT = 4  # of a kept gradient per number of the inputs and outputs, whose memory it takes
# Numbers in narrow types that are widened at a time: on a CPU, as many as stay in the cache.
CPU_WIDENED_NUMBERS, WIDENED_NUMBERS = 2**18, 2**26


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
        norms = [torch.linalg.vector_norm(part, dim=1) for part in _wide_parts(self.gradients.flatten(1))]
        return torch.stack(norms).square().sum(0)

    def add_sum(self, total: Tensor, coefficients_B: Tensor) -> None:
        start, flat = 0, total.view(-1)
        for part in _wide_parts(self.gradients.flatten(1)):
            flat[start : start + part.shape[1]].addmv_(part.to(total.dtype).T, coefficients_B)
            start += part.shape[1]


@dataclass(frozen=True)
class ProductGradients:
    """G = sum over t of g_t a_t^T, from a (B, T, I) and g (B, T, O)."""

    inputs: Tensor
    gradients: Tensor

    def squared_norms(self) -> Tensor:
        a_BTI, g_BTO = self.inputs, self.gradients
        rows = max(1, _widened_numbers(a_BTI) // (a_BTI[0].numel() + g_BTO[0].numel()))
        squares = []
        for a, g in zip(torch.split(a_BTI, rows), torch.split(g_BTO, rows), strict=True):
            a_BTT, g_BTT = (torch.bmm(x, x.transpose(1, 2)) for x in (a.to(wide_type(a)), g.to(wide_type(g))))
            squares.append(a_BTT.mul_(g_BTT).sum((1, 2)))
        return torch.cat(squares).clamp_(min=0)

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
    if keeps_gradients(inputs.shape[1], inputs.shape[2], gradients.shape[2]):
        return KeptGradients(row_products(gradients, inputs))
    return ProductGradients(inputs, gradients)


def keeps_gradients(T: int, inputs: int, outputs: int) -> bool:
    """Whether it is cheaper to keep a row's gradient of a matrix than to multiply all pairs of its T tokens."""
    operations = 2 * T * T * (inputs + outputs)
    fits = inputs * outputs <= MAX_NUMBERS_PER_INPUT * T * (inputs + outputs)
    return fits and operations > OPERATIONS_PER_NUMBER * inputs * outputs


def row_products(g_BTO: Tensor, a_BTI: Tensor, out: Tensor | None = None) -> Tensor:
    """g^T a of each row, (B, O, I), in `out` if it is given."""
    products = g_BTO.new_empty(len(g_BTO), g_BTO.shape[2], a_BTI.shape[2]) if out is None else out
    if not can_compute(g_BTO[0].T, a_BTI[0]):
        return torch.bmm(g_BTO.transpose(1, 2), a_BTI, out=products)
    for g_TO, a_TI, product in zip(g_BTO, a_BTI, products, strict=True):
        multiply(g_TO.T, a_TI, product)
    return products


def _wide_parts(rows_BN: Tensor) -> Iterator[Tensor]:
    """The columns of a matrix in parts, in float32 at least; all at once if they are already."""
    if rows_BN.dtype == wide_type(rows_BN):
        yield rows_BN
        return
    for part in torch.split(rows_BN, max(1, _widened_numbers(rows_BN) // len(rows_BN)), dim=1):
        yield part.to(wide_type(part))


def _widened_numbers(x: Tensor) -> int:
    return CPU_WIDENED_NUMBERS if x.device.type == "cpu" else WIDENED_NUMBERS


def wide_type(x: Tensor) -> torch.dtype:
    """Float32, or float64 for tensors of it."""
    return torch.promote_types(x.dtype, torch.float32)
