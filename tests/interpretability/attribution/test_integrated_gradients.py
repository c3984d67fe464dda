"""Integrated gradients: completeness, and another implementation of the same integral."""

import numpy as np
import pytest
import torch

from lmcraft.errors import RunError, UserError
from lmcraft.interpretability.attribution.integrated_gradients import MAX_GAP, integrate_gradients
from lmcraft.model.hooks import HookPoint
from lmcraft.model.transformer import Transformer
from tests.interpretability.attribution.models import FAMILIES, random_model

IDS = [5, 17, 8, 3, 5, 17, 4, 2, 9]


def integrate_plainly(model: Transformer, baseline: torch.Tensor, steps: int, target: int, contrast: int) -> list[float]:
    """Gradients with respect to the embeddings as the model looks them up."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    table = model.embed_tokens.weight.detach()
    change, scores = table[IDS] - baseline, torch.zeros(len(IDS))
    scale = model.config.hidden_size**0.5 if model.config.scale_embeddings and model.embed_positions is None else 1
    for node, weight in zip(nodes, weights, strict=True):
        point = (baseline + (node + 1) / 2 * change).requires_grad_()

        def embed(activation: torch.Tensor, hook: HookPoint, point: torch.Tensor = point) -> torch.Tensor:
            return point[None] * scale

        logits = model.run_with_hooks(torch.tensor([IDS]), [("hook_embed", embed)])[0, -1]
        (gradient,) = torch.autograd.grad(logits[target] - logits[contrast], point)
        scores += weight / 2 * (gradient * change).sum(-1)
    return scores.tolist()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("baseline", ["mean", "zero"])
def test_scores_are_those_of_plain_gradients(family: str, baseline: str) -> None:
    model = random_model(family)
    attribution = integrate_gradients(model, IDS, target=7, contrast=11, steps=8, max_steps=8, baseline=baseline)  # type: ignore[arg-type]
    value = model.transformer.embed_tokens.weight.detach().mean(0) * (baseline == "mean")
    expected = integrate_plainly(model.transformer, value, 8, 7, 11)
    assert attribution.scores == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_scores_add_up_to_the_change_from_the_baseline() -> None:
    attribution = integrate_gradients(random_model(), IDS, max_steps=2048)
    assert attribution.gap <= MAX_GAP
    assert sum(attribution.scores) == pytest.approx(attribution.after - attribution.before, rel=MAX_GAP)
    coarse = integrate_gradients(random_model(), IDS, steps=2, max_steps=2)
    assert coarse.steps == 2 and coarse.gap > attribution.gap
    assert integrate_gradients(random_model(), IDS, steps=2, max_steps=2048).gap <= MAX_GAP  # cut where it is rough


def test_a_token_of_the_baseline_has_no_share() -> None:
    model = random_model()
    with torch.no_grad():
        table = model.transformer.embed_tokens.weight
        table[5] = 0
        table[5] = table.sum(0) / (len(table) - 1)  # then it is the mean
    scores = integrate_gradients(model, IDS, target=7, contrast=11, steps=4, max_steps=4).scores
    assert scores[0] == pytest.approx(0, abs=1e-4) and abs(scores[1]) > 1e-3


def test_the_check_puts_the_baseline_in_place_of_what_scores_highest() -> None:
    attribution = integrate_gradients(random_model(), IDS, steps=8, max_steps=8)
    (check,) = attribution.checks
    first, second = sorted(range(len(IDS)), key=lambda token: -attribution.scores[token])[:2]
    assert check.subject == f"tokens {first} and {second}" and check.expected == "falls"
    assert check.before == pytest.approx(attribution.after, abs=1e-4) and len(check.random) == 21


def test_a_damaged_embedding_is_named() -> None:
    model = random_model()
    with torch.no_grad():
        model.transformer.embed_tokens.weight[60] = torch.nan  # of a token that the text does not have
    with pytest.raises(RunError, match="not numbers"):
        integrate_gradients(model, IDS, target=7, contrast=11)


def test_a_long_text_gets_fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmcraft.interpretability.attribution.integrated_gradients.MAX_GAP", 0)
    monkeypatch.setattr("lmcraft.interpretability.attribution.integrated_gradients.MAX_LINE_TOKENS", 60)
    assert integrate_gradients(random_model(), IDS, steps=2).steps == 6


@pytest.mark.parametrize("steps", [0, 300])
def test_impossible_numbers_of_steps_are_named(steps: int) -> None:
    with pytest.raises(UserError, match=f"steps={steps} must be at least 1 and at most max_steps=256"):
        integrate_gradients(random_model(), IDS, steps=steps, max_steps=256)
