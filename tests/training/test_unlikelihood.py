"""The unlikelihood of targets against the formula in plain PyTorch."""

import pytest
import torch

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.model.output_head import OutputHead
from lmcraft.training.unlikelihood import TARGETS_PER_CHUNK, unlikelihood


def naive(x: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    chosen = targets != IGNORE_INDEX
    p = (x[chosen] @ weight.T).softmax(dim=1).gather(1, targets[chosen, None])
    return -torch.log(1 - p).sum()


@pytest.mark.parametrize("count", [0, 1, TARGETS_PER_CHUNK + 3])
def test_it_is_the_formula(count: int) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(count + 5, 8, requires_grad=True), torch.randn(11, 8, requires_grad=True)
    targets = torch.randint(11, (count + 5,))
    targets[torch.randperm(count + 5)[:5]] = IGNORE_INDEX
    expected = naive(x, weight, targets)
    actual = unlikelihood(x, OutputHead(weight), targets)
    torch.testing.assert_close(actual, expected)
    if count:
        for a, b in zip(torch.autograd.grad(actual, (x, weight)), torch.autograd.grad(expected, (x, weight)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("logit", [-50.0, 0.0, 5.0, 200.0])
def test_a_step_lowers_the_probability_however_certain_the_model_is(logit: float) -> None:
    weight = torch.tensor([[logit], [0.0], [-1.0]], requires_grad=True)
    loss = unlikelihood(torch.ones(1, 1), OutputHead(weight), torch.tensor([0]))
    assert torch.isfinite(loss)
    (gradient,) = torch.autograd.grad(loss, weight)
    p = torch.tensor([logit, 0.0, -1.0]).softmax(0)[0]
    torch.testing.assert_close(gradient[0, 0], p)
    assert gradient[0] >= 0 and (gradient[1:] <= 0).all()
