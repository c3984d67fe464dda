"""Ghost clipping: norms and sums equal to those of gradients that torch.func computes for each row."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, vmap

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.model.parts import Multipliers
from lmcraft.model.transformer import Transformer
from lmcraft.training.batch import TensorBatch
from lmcraft.training.dp import projection, row_gradients
from lmcraft.training.dp.clipping import GhostClipper
from lmcraft.training.objective import NextToken
from tests.tiny import GPT2, tiny_model

FAMILIES = {
    "untied": {"tie_word_embeddings": False},
    "tied": {"tie_word_embeddings": True},
    "gpt2": {**GPT2, "tie_word_embeddings": False},
    "gpt2-tied": {**GPT2, "tie_word_embeddings": True},
    "gemma": {"norm": "gemma_rmsnorm", "scale_embeddings": True, "tie_word_embeddings": True, "feed_forward": "geglu_tanh"},
    "projection-norm": {"qk_norm_over": "projection", "attention_bias": "qkv"},
    "parallel": {"parallel_residual": True, "feed_forward": "relu2", "norm_placement": "both"},
    "capped": {
        "norm": "layernorm",
        "norm_bias": False,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 3.0,
        "multipliers": Multipliers(embedding=2.0, residual=0.5, attention=0.3, logits=0.5),
    },
    "post-norm": {**GPT2, "token_types": 2, "norm_placement": "sum", "embedding_norm": True, "final_norm": False},
    "wide": {"hidden_size": 64, "num_attention_heads": 8},  # more numbers in a matrix than in the activations
}


def rows(count: int = 5, length: int = 12, vocabulary: int = 96) -> TensorBatch:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randint(0, vocabulary, (count, length), generator=generator)
    inputs[:, 3:6] = inputs[:, :3]  # tokens that occur several times
    targets = torch.randint(0, vocabulary, (count, length), generator=generator)
    targets[1, 4:] = targets[2, :9] = IGNORE_INDEX
    return TensorBatch(inputs, targets, None)


def reference(model: Transformer, batch: TensorBatch) -> dict[str, Tensor]:
    """The gradients of each row's mean loss, by the names of the weights."""
    weights = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}

    def loss(weights: dict[str, Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        logits = functional_call(model, weights, (inputs[None],))[0]
        losses = F.cross_entropy(logits, targets.clamp(min=0), reduction="none")
        counted = (targets != IGNORE_INDEX).to(losses.dtype)
        return (losses * counted).sum() / counted.sum()

    return vmap(grad(loss), (None, 0, 0))(weights, batch.input_ids, batch.targets)


def check(model: Transformer, batch: TensorBatch, max_norm: float, tolerance: float) -> None:
    gradients = reference(model, batch)
    norms = torch.stack([g.flatten(1).square().sum(1) for g in gradients.values()]).sum(0).sqrt()
    clipped = GhostClipper(model, NextToken(), max_norm).add_clipped(batch)
    assert torch.allclose(clipped.norms, norms, rtol=tolerance, atol=0)
    factors = (max_norm / norms).clamp(max=1.0)
    assert factors.min() < 1 < 1.5 * factors.max()
    for name, p in model.named_parameters():
        expected = torch.einsum("b,b...->...", factors, gradients[name])
        assert p.grad is not None and torch.allclose(p.grad, expected, rtol=1e-5, atol=1e-3 * tolerance * max_norm), name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("form", ["chosen", "kept", "products"])
def test_norms_and_sums_equal_those_of_each_row(family: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if form != "chosen":
        monkeypatch.setattr(row_gradients, "keeps_gradients", lambda *sizes: form == "kept")
        monkeypatch.setattr(projection, "MAX_WIDTH_PER_TOKEN", 1e9 if form == "kept" else 0)
    model = tiny_model(**FAMILIES[family]).double()
    model.compute_dtype = torch.float64
    batch = rows()
    norms = [g.flatten(1) for g in reference(model, batch).values()]
    median = float(torch.cat(norms, 1).norm(dim=1).median())
    check(model, batch, median, tolerance=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("is_kept", [True, False])
def test_no_row_adds_more_than_the_limit(dtype: torch.dtype, is_kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_gradients, "keeps_gradients", lambda *sizes: is_kept)
    model = tiny_model()
    model.compute_dtype = dtype
    whole = rows(count=6)
    for n in range(6):
        clipper = GhostClipper(model, NextToken(), 0.25)
        for p in model.parameters():
            p.grad = None
        batch = TensorBatch(whole.input_ids[n : n + 1], whole.targets[n : n + 1], None)
        clipped = clipper.add_clipped(batch)
        total = torch.stack([p.grad.square().sum() for p in model.parameters() if p.grad is not None]).sum().sqrt()
        assert float(clipped.norms) > 0.25 and 0.24 < float(total) <= 0.25


def test_the_model_is_as_before_after_an_error() -> None:
    model = tiny_model()
    clipper = GhostClipper(model, NextToken(), 1.0)
    batch = rows()
    with pytest.raises(IndexError):
        clipper.add_clipped(TensorBatch(batch.input_ids + 1000, batch.targets, None))
    assert all(p.requires_grad for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
