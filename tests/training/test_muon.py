"""Muon and NorMuon against their formulas."""

import pytest
import torch

from lmcraft.model.kernels import product
from lmcraft.model.kernels.library import is_available
from lmcraft.training.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 96, 32), (2, 32, 96)])
def test_orthogonalized_singular_values_are_near_one(shape: tuple[int, ...]) -> None:
    u, s, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    spread = torch.linspace(0.02, 1.0, s.shape[-1])
    values = torch.linalg.svdvals(orthogonalize(u * spread @ v))
    assert values.min() > 0.6 and values.max() < 1.3


@pytest.mark.skipif(not is_available(torch.ones(1)), reason="no C++ compiler, or torch has other threads")
@pytest.mark.parametrize("shape", [(2, 70, 70), (2, 130, 40), (1, 40, 130), (0, 40, 40)])
def test_iterating_on_gram_matrices_gives_the_same_update(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(shape) * torch.logspace(0, -6, shape[-1])
    expected = orthogonalize(x.double())
    monkeypatch.setattr(product, "MIN_OPERATIONS", 0)
    torch.testing.assert_close(orthogonalize(x), expected.float(), rtol=0, atol=1e-3)  # bfloat16 would be off by 4e-3


def test_batched_updates_match_single_updates() -> None:
    torch.manual_seed(0)
    together = [torch.nn.Parameter(torch.randn(16, 24)) for _ in range(3)]
    alone = [torch.nn.Parameter(p.detach().clone()) for p in together]
    rules = [Muon([{"params": together}], beta2=0.9, compute_dtype=torch.float32)]
    rules += [Muon([{"params": [p]}], beta2=0.9, compute_dtype=torch.float32) for p in alone]
    for _ in range(3):
        for p, q in zip(together, alone, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        for rule in rules:
            rule.step()
    for p, q in zip(together, alone, strict=True):
        torch.testing.assert_close(p, q, atol=1e-5, rtol=1e-5)


def test_normuon_divides_rows_by_their_mean_square_and_keeps_the_norm() -> None:
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.zeros(6, 4))
    rule = Muon([{"params": [p]}], lr=0.1, momentum=0.5, nesterov=False, beta2=0.9, compute_dtype=torch.float32)
    gradients = [torch.randn(6, 4), torch.randn(6, 4)]
    expected, momentum, squares = torch.zeros(6, 4), torch.zeros(6, 4), torch.zeros(6, 1)
    for g in gradients:
        p.grad = g.clone()
        rule.step()
        momentum = 0.5 * momentum + 0.5 * g
        update = orthogonalize(momentum[None])[0]
        squares = 0.9 * squares + 0.1 * update.square().mean(dim=1, keepdim=True)
        normalized = update / squares.sqrt()
        expected = expected - 0.1 * (6 / 4) ** 0.5 * normalized * update.norm() / normalized.norm()
    torch.testing.assert_close(p.detach(), expected, atol=1e-5, rtol=1e-4)


def test_a_matrix_without_a_gradient_is_unchanged() -> None:
    p = torch.nn.Parameter(torch.ones(4, 4))
    Muon([{"params": [p]}]).step()
    assert torch.equal(p, torch.ones(4, 4))
