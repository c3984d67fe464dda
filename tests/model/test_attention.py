"""Attention against its definition, and its two implementations against each other."""

from typing import Literal

import pytest
import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.attention import ScoreRules, attend, attend_with_hooks
from lmcraft.model.hooks import no_hooks
from lmcraft.model.layer_inputs import alibi_slopes
from lmcraft.model.parts import QueryScaling
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


@pytest.mark.parametrize("kind", ["matmul", "sdpa", "hooked"])
def test_sinks_and_soft_capping_match_the_formula(kind: Literal["matmul", "sdpa", "hooked"]) -> None:
    """With more queries than a chunk, of two heads that share their keys."""
    q, k, v, sinks = torch.randn(1, 2, 300, 8), torch.randn(1, 1, 300, 8), torch.randn(1, 1, 300, 8), torch.randn(2)
    mask, rules = torch.full((300, 300), -torch.inf).triu(1)[None], ScoreRules(1.5, sinks)
    scores = 1.5 * torch.tanh(0.3 * q @ k.mT / 1.5) + mask
    numerators = scores.exp()
    expected = numerators / (numerators.sum(-1, keepdim=True) + sinks.exp()[:, None, None]) @ v
    if kind == "hooked":
        actual = attend_with_hooks(q, k, v, mask, 0.3, no_hooks, rules)
    else:
        actual = attend(q, k, v, mask, 0.3, kind=kind, rules=rules)
    torch.testing.assert_close(actual, expected)


def test_a_custom_function_does_not_replace_other_scores() -> None:
    for settings in ({"attention_sinks": True}, {"attn_logit_softcapping": 20.0}, {"position": "alibi"}):
        with pytest.raises(UserError, match="cannot be a function of your own, because this model has"):
            tiny_model(**settings).use_attention(lambda q, k, v, mask, scale, dropout: q)


def test_alibi_has_its_published_slopes() -> None:
    """Of the paper for 8 heads, and of its reference code for 12."""
    assert alibi_slopes(8) == tuple(2.0**-n for n in range(1, 9))
    assert alibi_slopes(12) == (*alibi_slopes(8), *(2.0 ** -(n / 2) for n in (1, 3, 5, 7)))


def test_chunks_of_attention_and_scaled_queries_restart_with_documents() -> None:
    layers = {"layer_types": ("chunked_attention", "full_attention"), "attention_chunk_size": 4, "no_rope_layers": (1,)}
    model = tiny_model(**layers, num_hidden_layers=2, query_scaling=QueryScaling(beta=0.5, length=3, offset=1)).eval()
    ids = torch.randint(0, 96, (1, 18))
    packed = model(ids, document_ids=torch.tensor([[0] * 7 + [1] * 11]))
    torch.testing.assert_close(packed[:, :7], model(ids[:, :7]))
    torch.testing.assert_close(packed[:, 7:], model(ids[:, 7:]), atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        model.layers[1].attention.o_proj.weight.zero_()  # the chunked layer alone does not see earlier chunks
        model.layers[1].feed_forward.down_proj.weight.zero_()
    changed = ids.clone()
    changed[0, :4] = (changed[0, :4] + 1) % 96
    assert torch.equal(model(ids)[:, 4:], model(changed)[:, 4:])
