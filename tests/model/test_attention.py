"""Attention against its definition, and its two implementations against each other."""

import pytest
import torch
from torch import Tensor

from lmcraft.model.attention import attend
from tests.tiny import tiny_model


def attention_formula(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal softmax(q k^T / sqrt(d)) v, one query at a time, in float64."""
    out = torch.zeros(*q.shape, dtype=torch.float64)
    group = q.shape[1] // k.shape[1]
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            for t in range(q.shape[2]):
                keys, values = k[b, h // group, : t + 1].double(), v[b, h // group, : t + 1].double()
                weights = torch.exp(keys @ q[b, h, t].double() / q.shape[-1] ** 0.5)
                out[b, h, t] = (weights / weights.sum()) @ values
    return out


@pytest.mark.parametrize("masked", [False, True], ids=["fused", "matmul"])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_attention_matches_the_formula(masked: bool, kv_heads: int) -> None:
    q, k, v = torch.randn(2, 4, 7, 8), torch.randn(2, kv_heads, 7, 8), torch.randn(2, kv_heads, 7, 8)
    causal = torch.full((7, 7), -torch.inf).triu(1)[None] if masked else None
    torch.testing.assert_close(attend(q, k, v, causal, 8**-0.5).double(), attention_formula(q, k, v), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("window", [0, 150])
def test_matmul_and_sdpa_agree_on_chunked_queries(documents: bool, window: int) -> None:
    model = tiny_model(max_position_embeddings=300, sliding_window=window)
    ids, results = torch.randint(0, 96, (2, 300)), []
    document_ids = torch.arange(300).ge(111).long().expand(2, 300) if documents else None
    for kind in ("matmul", "sdpa"):
        model.use_attention(kind)
        model.zero_grad()
        logits = model(ids, document_ids=document_ids)
        logits.square().mean().backward()
        results.append([logits.detach(), *(p.grad for p in model.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
