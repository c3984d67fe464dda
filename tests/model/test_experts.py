"""Mixtures of experts against their formulas."""

from typing import Any

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.model.experts import MixtureOfExperts, make_feed_forward
from lmcraft.model.feedforward import FeedForward
from lmcraft.model.parts import Routing, SharedExpert
from tests.tiny import tiny_config

SIZES: dict[str, Any] = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 16}


def mixture(**changes: Any) -> MixtureOfExperts:
    torch.manual_seed(0)
    layer = make_feed_forward(tiny_config(**SIZES | changes), 0)
    assert isinstance(layer, MixtureOfExperts)
    return layer


def test_a_mixture_is_the_weighted_sum_of_the_top_experts_of_each_token() -> None:
    config = tiny_config(num_experts=5, num_experts_per_tok=2, moe_intermediate_size=16, mlp_only_layers=(1,))
    layer, x = make_feed_forward(config, 0), torch.randn(2, 7, 32)
    assert isinstance(layer, MixtureOfExperts) and isinstance(make_feed_forward(config, 1), FeedForward)
    y = layer(x)
    for b in range(2):
        for t in range(7):
            weights, experts = layer.router(x[b, t]).softmax(-1).topk(2)
            weights = weights / weights.sum()
            expected = sum(w * layer.experts[int(e)](x[b, t]) for w, e in zip(weights, experts, strict=True))
            torch.testing.assert_close(y[b, t], expected)


def test_experts_are_chosen_with_the_bias_and_weighed_without_it() -> None:
    layer, x = mixture(router=Routing(scores="sigmoid", correction_bias=True, scaling_factor=3.0)), torch.randn(7, 32)
    assert layer.correction_bias is not None
    layer.correction_bias[4] = 10.0
    weights, experts = layer.route(x)
    assert (experts == 4).any(dim=-1).all()
    torch.testing.assert_close(weights.sum(-1), torch.full((7,), 3.0))
    scores = layer.router(x).sigmoid().gather(-1, experts)
    torch.testing.assert_close(weights, 3 * scores / scores.sum(-1, keepdim=True))


@pytest.mark.parametrize(("score", "best"), [("max", 0), ("top2", 1)])
def test_experts_come_from_the_best_group(score: Any, best: int) -> None:
    layer = mixture(router=Routing(n_group=3, group_score=score))
    with torch.no_grad():
        layer.router.weight.zero_()
        layer.router.weight[:, 0] = torch.tensor([5.0, 0.0, 4.6, 4.6, 0.0, 0.0])
    _, experts = layer.route(torch.eye(32)[:1])
    assert sorted(experts[0].tolist()) == [2 * best, 2 * best + 1]


def test_a_shared_expert_adds_its_gated_output() -> None:
    layer, x = mixture(shared_expert=SharedExpert(intermediate_size=12, gate=True)), torch.randn(1, 5, 32)
    assert layer.shared_expert is not None and layer.shared_gate is not None
    shared, gate, layer.shared_expert = layer.shared_expert, layer.shared_gate, None
    without = layer(x)
    layer.shared_expert = shared
    torch.testing.assert_close(layer(x), without + gate(x).sigmoid() * shared(x))


def test_gradients_reach_router_chosen_experts_and_shared_expert() -> None:
    for scores in ("softmax", "topk_softmax", "sigmoid", "sparsemixer"):
        layer = mixture(router=Routing(scores=scores, bias=True), shared_expert=SharedExpert(intermediate_size=12))
        x = torch.randn(2, 40, 32, requires_grad=True)
        layer(x).square().sum().backward()
        names = [name for name, weight in layer.named_parameters() if weight.grad is None or not weight.grad.any()]
        assert not names and x.grad is not None


def test_inputs_are_scaled_in_place_of_outputs() -> None:
    layer, x = mixture(router=Routing(scores="sigmoid", scale_inputs=True), norm_topk_prob=False), torch.randn(3, 32)
    weights, experts = layer.route(x)
    expected = torch.stack(
        [sum(layer.experts[int(e)](x[n] * w) for w, e in zip(weights[n], experts[n], strict=True)) for n in range(3)]
    )
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(
    ("routing", "message"),
    [
        (Routing(n_group=4), "router.n_group=4 does not divide"),
        (Routing(n_group=3, topk_group=4), "topk_group=4 must be from 1"),
        (Routing(n_group=6, group_score="max"), "num_experts_per_tok=2 is more than the 1 experts"),
        (Routing(n_group=6, topk_group=2), "requires groups of two"),
    ],
)
def test_impossible_choices_are_refused(routing: Routing, message: str) -> None:
    with pytest.raises(UserError, match=message):
        tiny_config(**SIZES, router=routing).check()


def test_the_correction_bias_keeps_its_precision() -> None:
    layer = mixture(router=Routing(scores="sigmoid", correction_bias=True))
    assert layer.correction_bias is not None
    layer.correction_bias += 14.9
    layer.to(torch.bfloat16)
    assert torch.equal(layer.correction_bias, torch.full((6,), 14.9)) and layer.router.weight.dtype == torch.bfloat16
    assert layer(torch.randn(1, 3, 32, dtype=torch.bfloat16)).dtype == torch.bfloat16
