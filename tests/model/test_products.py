"""Products of bfloat16 on processors with and without instructions for it."""

import pytest
import torch
import torch.nn.functional as F

from lmcraft.model import products
from lmcraft.model.attention import attend
from lmcraft.model.products import MIN_WIDENED_ROWS, linear
from tests.tiny import tiny_model


@pytest.fixture(params=[True, False])
def has_bf16(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(products, "_has_bf16", lambda: request.param)
    return bool(request.param)


@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_many_rows_are_widened_where_bf16_is_emulated(bias: bool, has_bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, b = torch.randn(3, 5, 8), torch.randn(6, 8), torch.randn(6) if bias else None
    expected, types = F.linear(x, weight, b), []

    def record(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        types.append((x.dtype, weight.dtype))
        return x @ weight.T + (0 if bias is None else bias)

    monkeypatch.setattr(products.F, "linear", record)
    y = linear(x.bfloat16(), weight.bfloat16(), b)
    assert y.dtype == torch.bfloat16 and torch.allclose(y.float(), expected, atol=0.1, rtol=0.05)
    linear(x.bfloat16()[:1, : MIN_WIDENED_ROWS - 1], weight, b)
    wide = torch.bfloat16 if has_bf16 else torch.float32
    assert types == [(wide, wide), (torch.bfloat16, torch.bfloat16)]


@torch.inference_mode()
def test_attention_is_widened_too(has_bf16: bool) -> None:
    q, k, v = torch.randn(2, 4, 5, 8), torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 8)
    causal = torch.zeros(1, 5, 5).masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
    for mask in (None, causal):
        narrow = attend(q.bfloat16(), k.bfloat16(), v.bfloat16(), None if mask is None else mask.bfloat16(), 0.3)
        assert narrow.dtype == torch.bfloat16
        assert torch.allclose(narrow.float(), attend(q, k, v, mask, 0.3), atol=0.05)


def test_training_keeps_its_type(has_bf16: bool) -> None:
    model = tiny_model()
    model.compute_dtype = torch.bfloat16
    with torch.inference_mode():
        expected = model(torch.arange(12)[None])
    logits = model(torch.arange(12)[None])
    assert logits.dtype == expected.dtype == torch.bfloat16 and torch.allclose(logits, expected, atol=0.1)
