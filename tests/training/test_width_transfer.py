"""Learning rates of a narrow model in a wide one: the scale of each group, and what stays as it is."""

from typing import Any

import pytest
import torch

from lmcraft.model.transformer import Transformer
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.optimizer import Optimizer
from lmcraft.training.width_transfer import rate_scales
from tests.tiny import tiny_model

RATES = {"learning_rate": 0.1, "embedding_learning_rate": 0.2, "head_learning_rate": 0.3, "scalar_learning_rate": 0.4}
MATRIX, EMBEDDING, HEAD = "layers.0.attention.q_proj.weight", "embed_tokens.weight", "lm_head.weight"
NORM, FINAL_NORM = "layers.0.attention_norm.weight", "norm.weight"


def moves(ratio: float, weights: float = 0.0, **settings: Any) -> tuple[Transformer, dict[str, torch.Tensor]]:
    """How far one step with gradients of one moves each weight, which begins at `weights`."""
    model = tiny_model(tie_word_embeddings=False)
    config = OptimizerConfig(**(RATES | {"gradient_clip": 0.0, "momentum": 0.0} | settings))
    optimizer = Optimizer(model, config, torch.float32, width_ratio=ratio)
    for p in model.parameters():
        p.data.fill_(weights)
        p.grad = torch.ones_like(p)
    optimizer.step(1.0)
    return model, {name: (weights - p).detach() for name, p in model.named_parameters()}


@pytest.mark.parametrize("name", ["adamw", "adam"])
def test_adam_matrices_and_the_final_norm_learn_slower_in_a_wide_model(name: str) -> None:
    _, moved = moves(4.0, name=name)
    means = [moved[weight].mean().item() for weight in (MATRIX, EMBEDDING, HEAD, NORM, FINAL_NORM)]
    assert means == pytest.approx([0.1 / 4, 0.2, 0.3, 0.4, 0.4 / 4])


def test_sgd_vectors_and_embeddings_learn_faster_in_a_wide_model() -> None:
    _, moved = moves(4.0, name="sgd")
    means = [moved[weight].mean().item() for weight in (MATRIX, EMBEDDING, HEAD, NORM, FINAL_NORM)]
    assert means == pytest.approx([0.1, 0.2 * 4, 0.3 * 4, 0.4 * 4, 0.4 / 4])


@pytest.mark.parametrize("name", ["normuon", "muon"])
def test_orthogonal_steps_do_not_depend_on_the_width(name: str) -> None:
    _, narrow = moves(1.0, name=name)
    _, wide = moves(4.0, name=name)
    assert torch.equal(narrow[MATRIX], wide[MATRIX]) and torch.equal(narrow[EMBEDDING], wide[EMBEDDING])
    torch.testing.assert_close(narrow[FINAL_NORM], 4 * wide[FINAL_NORM])


@pytest.mark.parametrize("cautious", [False, True])
@pytest.mark.parametrize("name", ["adamw", "sgd", "normuon"])
def test_weight_decay_is_as_fast_at_any_width(name: str, cautious: bool) -> None:
    decay: dict[str, Any] = {"weight_decay": 0.5, "cautious_decay": cautious}
    for ratio in (1.0, 4.0):
        _, moved = moves(ratio, weights=1.0, name=name, **decay)
        _, without = moves(ratio, weights=1.0, name=name)
        for weight, rate in ((MATRIX, 0.1), (EMBEDDING, 0.2), (HEAD, 0.3)):
            torch.testing.assert_close(moved[weight] - without[weight], torch.full_like(moved[weight], rate * 0.5))


@pytest.mark.parametrize("name", ["normuon", "muon", "adamw", "adam", "sgd"])
def test_nothing_is_scaled_at_the_base_width(name: str) -> None:
    assert rate_scales(name, 1.0) == (1.0, 1.0, 1.0, 1.0, 1.0)


def test_the_multiplier_of_the_logits_can_be_in_the_gain_of_the_final_norm() -> None:
    """W (g norm(x)) / m with the gain g at 1 learns as W (h norm(x)) with the gain h at 1 / m and its rate / m."""
    torch.manual_seed(0)
    weight, x, m = torch.randn(7, 5), torch.randn(3, 5), 4.0
    gains = [torch.ones(5, requires_grad=True), torch.full((5,), 1 / m, requires_grad=True)]
    optimizers = [torch.optim.Adam([gain], lr=rate, eps=0.0) for gain, rate in zip(gains, (0.1, 0.1 / m), strict=True)]
    for _ in range(3):
        for gain, multiplier, optimizer in zip(gains, (1 / m, 1.0), optimizers, strict=True):
            optimizer.zero_grad()
            ((x * gain) @ weight.T * multiplier).logsumexp(-1).sum().backward()
            optimizer.step()
    torch.testing.assert_close(gains[0] / m, gains[1])
