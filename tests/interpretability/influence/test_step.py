"""An optimizer step as a function, beside the optimizer of training."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.interpretability.influence.step import State, TrainingStep
from lmcraft.interpretability.influence.training_run import TrainingRun
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.optimizer import Optimizer
from tests.interpretability.influence.conftest import RATES

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adamw": {"weight_decay": 0.3, "gradient_clip": 0.5},
    "adam": {"l2": 0.1, "l1": 0.01, "gradient_clip": 0.0},
    "sgd": {"momentum": 0.9, "weight_decay": 0.1},
    "muon": {"weight_decay": 0.1, "nesterov": False},
    "normuon": {"weight_decay": 0.5, "cautious_decay": True},
}


def with_optimizer(run: TrainingRun, name: str) -> TrainingRun:
    optimizer = OptimizerConfig(name=name, **dict.fromkeys(RATES, 0.02) | OPTIMIZERS[name])  # type: ignore[arg-type]
    rates = {step + 1: 0.02 * (1 - step / run.steps) for step in range(run.steps)}
    return TrainingRun(run.folder, replace(run.config, optimizer=optimizer), run.steps, rates)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_update_is_that_of_the_training_loop(run: TrainingRun, name: str) -> None:
    run = with_optimizer(run, name)
    step, model = TrainingStep(run), run.initial_model().double()
    optimizer, state = Optimizer(model, run.config.optimizer, torch.float64), step.first_state()
    generator = torch.Generator().manual_seed(0)
    for number in range(4):
        gradient_P = torch.randn(step.weight_count, generator=generator, dtype=torch.float64)
        gradient_P[:3] = 0
        for parameter_name, part in step.parameters(gradient_P).items():
            model.get_parameter(parameter_name).grad = part.clone()
        optimizer.step(run.learning_rate_factor(number))
        state = step.update(state, gradient_P, number)
        torch.testing.assert_close(state.weights, step.weights_of(model), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_update_has_finite_and_correct_derivatives(run: TrainingRun, name: str) -> None:
    run = with_optimizer(run, name)
    step, generator = TrainingStep(run), torch.Generator().manual_seed(1)

    def draw(size: torch.Tensor) -> torch.Tensor:
        return torch.randn(size.shape, generator=generator, dtype=torch.float64)

    start = step.first_state()
    unused = State(*map(draw, start.tensors()))
    for derivatives, by_gradient_P in step.pull_back_update(start, torch.zeros_like(start.weights), 0, [unused, unused]):
        assert all(bool(tensor.isfinite().all()) for tensor in (*derivatives.tensors(), by_gradient_P))
    state = State(
        start.weights, draw(start.momentum), 1 + draw(start.squares).square(), 1 + draw(start.row_squares).square()
    )
    gradient_P, adjoint = draw(start.weights), State(*map(draw, start.tensors()))
    (before, by_gradient_P), *_ = step.pull_back_update(state, gradient_P, 3, [adjoint])
    direction, along_P, size = State(*map(draw, start.tensors())), draw(start.weights), 1e-6

    def value(sign: float) -> float:
        moved = [x + sign * size * d for x, d in zip(state.tensors(), direction.tensors(), strict=True)]
        after = step.update(State(*moved), gradient_P + sign * size * along_P, 3)
        return sum(float((x * y).sum()) for x, y in zip(after.tensors(), adjoint.tensors(), strict=True))

    expected = sum(float((x * y).sum()) for x, y in zip(before.tensors(), direction.tensors(), strict=True))
    expected += float(by_gradient_P @ along_P)
    assert (value(1) - value(-1)) / (2 * size) == pytest.approx(expected, rel=1e-4)


def test_second_derivatives_are_those_of_central_differences(run: TrainingRun) -> None:
    step, batch, size = TrainingStep(run), run.batch(3), 1e-5
    weights_P, N = step.first_state().weights, run.document_count
    generator = torch.Generator().manual_seed(0)
    direction_P = torch.randn(step.weight_count, generator=generator, dtype=torch.float64)
    w_N = torch.rand(N, generator=generator, dtype=torch.float64)
    ((curved_P, products_N),) = step.pull_back(weights_P, batch, w_N, [direction_P])
    higher, lower = (step.gradient(weights_P + sign * size * direction_P, batch, w_N)[0] for sign in (1, -1))
    torch.testing.assert_close(curved_P, (higher - lower) / (2 * size), rtol=1e-5, atol=1e-8)
    losses = [step.losses(weights_P + sign * size * direction_P, batch).flatten() for sign in (1, -1)]
    change = (losses[0] - losses[1]) / (2 * size) / batch.target_count
    expected_N = torch.zeros(N, dtype=torch.float64).index_add_(0, batch.documents.flatten().clamp(min=0), change)
    torch.testing.assert_close(products_N, expected_N, rtol=1e-5, atol=1e-8)


def test_experts_are_refused(run: TrainingRun) -> None:
    model = replace(run.config.model, num_experts=2, num_experts_per_tok=1, moe_intermediate_size=8)
    experts = TrainingRun(run.folder, replace(run.config, model=model), run.steps, run._rates)
    with pytest.raises(UserError, match="mixture of experts"):
        TrainingStep(experts)
