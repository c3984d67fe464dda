"""Optimizer steps against their formulas."""

from typing import Any

import pytest
import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.transformer import Transformer
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.optimizer import Optimizer
from tests.tiny import tiny_model

RATES = {"learning_rate": 0.1, "embedding_learning_rate": 0.2, "head_learning_rate": 0.3, "scalar_learning_rate": 0.4}


def with_gradients(**settings: Any) -> tuple[Transformer, Optimizer, dict[str, Tensor], dict[str, Tensor]]:
    model = tiny_model(tie_word_embeddings=False)
    optimizer = Optimizer(model, OptimizerConfig(**(RATES | {"gradient_clip": 0.0} | settings)), torch.float32)
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return model, optimizer, weights, gradients


def rate_of(name: str) -> float:
    if "norm" in name:
        return 0.4
    return 0.2 if "embed" in name else 0.3 if "lm_head" in name else 0.1


def test_sgd_is_w_minus_lr_times_gradient() -> None:
    model, optimizer, weights, gradients = with_gradients(name="sgd", momentum=0.0)
    optimizer.step(0.5)
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), weights[name] - 0.5 * rate_of(name) * gradients[name])
        assert p.grad is None


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_momentum(nesterov: bool) -> None:
    model, optimizer, weights, first = with_gradients(name="sgd", momentum=0.9, nesterov=nesterov)
    optimizer.step(1.0)
    second = {name: torch.randn_like(p) for name, p in model.named_parameters()}
    for name, p in model.named_parameters():
        p.grad = second[name].clone()
    optimizer.step(1.0)
    for name, p in model.named_parameters():
        g, h = first[name], second[name]
        moved = (g + 0.9 * g) + (h + 0.9 * (0.9 * g + h)) if nesterov else g + (0.9 * g + h)
        torch.testing.assert_close(p.detach(), weights[name] - rate_of(name) * moved, atol=1e-5, rtol=1e-5)


def test_adamw_first_step_and_decoupled_decay() -> None:
    model, optimizer, weights, gradients = with_gradients(name="adamw", weight_decay=0.1)
    optimizer.step(1.0)
    for name, p in model.named_parameters():
        rate, g = rate_of(name), gradients[name]
        decayed = weights[name] * (1 if "norm" in name else 1 - rate * 0.1)
        torch.testing.assert_close(p.detach(), decayed - rate * g / (g.abs() + 1e-8), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_cautious_decay_only_where_the_step_makes_the_weight_smaller(name: str) -> None:
    model, optimizer, weights, gradients = with_gradients(name=name, momentum=0.0, weight_decay=0.1, cautious_decay=True)
    optimizer.step(1.0)
    for name_of, p in model.named_parameters():
        rate, w, g = rate_of(name_of), weights[name_of], gradients[name_of]
        moved = w - rate * (g if name == "sgd" else g / (g.abs() + 1e-8))
        decay = 0.0 if "norm" in name_of else rate * 0.1
        torch.testing.assert_close(p.detach(), torch.where(g * w > 0, moved - decay * w, moved), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("l1", "l2"), [(0.01, 0.0), (0.0, 0.05)])
def test_penalties_apply_to_all_weights_except_norms(l1: float, l2: float) -> None:
    model, optimizer, weights, gradients = with_gradients(name="sgd", momentum=0.0, l1=l1, l2=l2)
    optimizer.step(1.0)
    for name, p in model.named_parameters():
        w = weights[name]
        penalty = 0 * w if "norm" in name else l1 * w.sign() + l2 * w
        torch.testing.assert_close(p.detach(), w - rate_of(name) * (gradients[name] + penalty))


def test_clipping_bounds_the_norm_of_the_whole_gradient() -> None:
    model, optimizer, weights, gradients = with_gradients(name="sgd", momentum=0.0, gradient_clip=1.0)
    norm = optimizer.step(1.0)
    assert norm == pytest.approx(sum(g.square().sum().item() for g in gradients.values()) ** 0.5, rel=1e-5)
    for name, p in model.named_parameters():
        expected = weights[name] - rate_of(name) * gradients[name] / norm
        torch.testing.assert_close(p.detach(), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["normuon", "muon", "adamw", "adam", "sgd"])
def test_state_round_trips(name: str) -> None:
    _, optimizer, _, _ = with_gradients(name=name)
    optimizer.step(1.0)
    state = {key: value.clone() for key, value in optimizer.state().items()}
    fresh = Optimizer(tiny_model(tie_word_embeddings=False), optimizer.config, torch.float32)
    fresh.load_state(state)
    assert fresh.state().keys() == state.keys() and state
    assert all(torch.equal(fresh.state()[key], value) for key, value in state.items())


@pytest.mark.parametrize(
    "settings", [{"learning_rate": -1.0}, {"momentum": 1.0}, {"l1": -0.1}, {"weight_decay": 0.1, "name": "adam"}]
)
def test_invalid_settings_are_errors(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"optimizer.{next(iter(settings))}"):
        with_gradients(**settings)
