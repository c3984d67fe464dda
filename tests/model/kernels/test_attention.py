"""Compiled causal attention: torch's output and gradients, whatever the sizes and the mask."""

import pytest
import torch
import torch.nn.functional as F

from lmcraft.model.attention import attend
from lmcraft.model.kernels import attention
from lmcraft.model.kernels.attention import CausalAttention, can_compute
from lmcraft.model.kernels.library import is_available

pytestmark = pytest.mark.skipif(not is_available(torch.ones(1)), reason="no C++ compiler, or torch has other threads")


@pytest.mark.parametrize("documents", [1, 2])
@pytest.mark.parametrize(
    ("shape", "kv_heads"), [((2, 16, 1, 4), 1), ((1, 112, 4, 20), 2), ((2, 208, 3, 48), 3), ((1, 608, 4, 8), 1)]
)
def test_output_and_gradients_equal_those_of_torch(
    shape: tuple[int, int, int, int], kv_heads: int, documents: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "MIN_SCORES", 0)
    (B, T, _, D), scale = shape, 0.3
    q = (2 * torch.randn(shape)).requires_grad_()
    k, v = (torch.randn(B, T, kv_heads, D, requires_grad=True) for _ in range(2))
    document = torch.arange(T) * documents // T
    allowed = torch.ones(T, T, dtype=torch.bool).tril() & (document[:, None] == document)
    mask = torch.zeros(documents and B, T, T).masked_fill_(~allowed, -torch.inf)
    assert can_compute(q, k, v, mask)
    heads_first = [x.transpose(1, 2) for x in (q, k, v)]
    y = attend(*heads_first, mask, scale, kind="matmul")
    assert isinstance(y.grad_fn.next_functions[0][0], CausalAttention._backward_cls)  # type: ignore[union-attr, attr-defined]
    expected = F.scaled_dot_product_attention(*heads_first, attn_mask=mask[:, None], scale=scale, enable_gqa=True)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
    grad = torch.randn_like(y)
    pairs = (torch.autograd.grad(out, (q, k, v), grad) for out in (y, expected))
    for gradient, right in zip(*pairs, strict=True):
        torch.testing.assert_close(gradient, right, rtol=1e-4, atol=1e-4)


def test_short_rows_other_lengths_and_evaluation_are_left_to_torch() -> None:
    x, mask = torch.randn(4, 512, 1, 8), torch.zeros(1, 512, 512)
    assert can_compute(x, x, x, mask)
    assert not can_compute(x[:, :64].contiguous(), *[x[:, :64].contiguous()] * 2, mask[:, :64, :64].contiguous())
    assert not can_compute(*[x[:, :510].contiguous()] * 3, mask[:, :510, :510].contiguous())
    assert not can_compute(x.transpose(1, 2), x, x, mask)
    with torch.no_grad():
        assert not can_compute(x, x, x, mask)
