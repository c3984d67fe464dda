"""Compiled products: those of torch, whatever the sizes, layouts and threads."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lmcraft.model.kernels import product
from lmcraft.model.kernels.library import is_available
from lmcraft.model.kernels.product import linear, multiply, multiply_symmetric
from lmcraft.model.linear import Linear

pytestmark = pytest.mark.skipif(not is_available(torch.ones(1)), reason="no C++ compiler, or torch has other threads")


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of every size are compiled."""
    monkeypatch.setattr(product, "MIN_OPERATIONS", 0)
    monkeypatch.setattr(product, "MIN_ROWS", 0)


def _matrix(rows: int, columns: int, *, transposed: bool) -> Tensor:
    return torch.randn(columns, rows).T if transposed else torch.randn(rows, columns)


@pytest.mark.parametrize("transposed", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize(("n", "i", "o"), [(1, 1, 1), (6, 8, 16), (7, 33, 47), (97, 1025, 13), (100, 3, 600)])
def test_products_equal_those_of_torch(n: int, i: int, o: int, transposed: tuple[bool, bool]) -> None:
    a, b = _matrix(n, i, transposed=transposed[0]), _matrix(i, o, transposed=transposed[1])
    out = torch.randn(n, o)
    expected = out + a @ b
    torch.testing.assert_close(multiply(a, b), a @ b, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(multiply(a, b, out, accumulate=True), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("n", "i"), [(1, 3), (15, 7), (97, 40), (250, 1030)])
def test_symmetric_products_equal_those_of_torch(n: int, i: int) -> None:
    a = torch.randn(n, i)
    symmetric = multiply_symmetric(a, a.T)
    torch.testing.assert_close(symmetric, a @ a.T, rtol=1e-4, atol=1e-4)
    assert torch.equal(symmetric, symmetric.T)


def test_a_view_with_gaps_is_multiplied() -> None:
    a, b, out = torch.randn(40, 60)[5:30, 10:50], torch.randn(80, 90)[:40, 7:70], torch.zeros(25, 100)
    torch.testing.assert_close(multiply(a, b, out[:, :63]), a @ b, rtol=1e-4, atol=1e-4)
    assert not out[:, 63:].any()
    repeated = torch.randn(1, 1).expand(25, 40)
    torch.testing.assert_close(multiply(repeated, b), repeated @ b, rtol=1e-4, atol=1e-4)


def test_a_row_depends_neither_on_the_others_nor_on_the_threads() -> None:
    a, b = torch.randn(64, 700), torch.randn(700, 90)
    expected, threads = multiply(a, b), torch.get_num_threads()
    assert all(torch.equal(multiply(a[:rows], b), expected[:rows]) for rows in (1, 5, 17, 63))
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            assert torch.equal(multiply(a, b), expected)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_of_a_linear_layer(bias: bool) -> None:
    layer, x, grad = Linear(70, 90, bias=bias), torch.randn(2, 30, 70, requires_grad=True), torch.randn(2, 30, 90)
    inputs = (x, *layer.parameters())
    expected = F.linear(x, layer.weight, layer.bias)
    y = layer(x)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
    pairs = (torch.autograd.grad(out, inputs, grad) for out in (y, expected))
    for gradient, right in zip(*pairs, strict=True):
        torch.testing.assert_close(gradient, right, rtol=1e-4, atol=1e-4)


def test_other_types_and_empty_inputs_are_left_to_torch() -> None:
    w = torch.randn(5, 4, requires_grad=True)
    assert linear(torch.randn(0, 4), w).shape == (0, 5)
    assert linear(torch.randn(3, 4, dtype=torch.float64), w.double()).dtype == torch.float64
    a, b = torch.randn(9, 4, dtype=torch.bfloat16), torch.randn(4, 6, dtype=torch.bfloat16)
    out = torch.ones(9, 6)
    assert multiply(a, b, out).dtype == torch.float32
    torch.testing.assert_close(multiply(a, b, out, accumulate=True), 2 * (a @ b).float())
