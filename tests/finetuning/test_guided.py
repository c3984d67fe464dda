"""Learning beside another model's opinion, or near where one started."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lmcraft.data.loader import Batch
from lmcraft.finetuning.config import MethodConfig
from lmcraft.finetuning.guided import TOGETHER, Guided, NearStart, guide_of, guide_without_adapters
from lmcraft.finetuning.lora import adapted_layers, add_adapters
from lmcraft.finetuning.packing import PackedRows
from lmcraft.model.transformer import Transformer
from lmcraft.training.loop import to_device
from lmcraft.training.objective import NextToken, TensorBatch
from tests.finetuning.chat import batch_of, piece
from tests.tiny import tiny_model

PIECES = [piece(n, learned_from=n // 3) for n in (9, 17, 5, 20)]


def batch() -> TensorBatch:
    return batch_of(PIECES, 40)


def log_probs(model: Transformer, some: TensorBatch, temperature: float = 1.0) -> Tensor:
    """Of the learned positions, (N, V)."""
    logits = model(some.input_ids, document_ids=some.document_ids)[some.targets != -100]
    return (logits.double() / temperature).log_softmax(-1)


def divergence(guide: Tensor, model: Tensor) -> Tensor:
    """KL(guide || model), summed over positions."""
    return (guide.exp() * (guide - model)).sum()


def test_a_model_that_is_its_own_guide_diverges_by_nothing() -> None:
    model, some = tiny_model(), batch()
    objective = Guided(guide_of(tiny_model()), 0.0, 1.0, temperature=2.0)
    loss = objective.loss(model, some)
    loss.backward()
    torch.testing.assert_close(loss.detach(), torch.zeros(()), atol=1e-4, rtol=0)
    assert all(p.grad is None or p.grad.abs().max() < 1e-3 for p in model.parameters())


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_distillation_is_the_formula(temperature: float) -> None:
    model, teacher, some = tiny_model(), tiny_model(seed=1), batch()
    t = temperature
    targets = some.targets[some.targets != -100]
    plain = -log_probs(model, some).gather(1, targets[:, None]).sum()
    apart = divergence(log_probs(teacher, some, t), log_probs(model, some, t))
    found = Guided(guide_of(teacher), 0.3, 0.7, t).loss(model, some)
    assert found.item() == pytest.approx((0.3 * plain + 0.7 * t * t * apart).item(), rel=1e-4)


def test_gradients_of_a_long_batch_are_those_of_the_formula() -> None:
    pieces = [piece(60, seed=n) for n in range(TOGETHER // 60 + 2)]
    model, teacher, some = tiny_model(), tiny_model(seed=1), batch_of(pieces, 60)
    assert (some.targets != -100).sum() > TOGETHER
    loss = Guided(guide_of(teacher), 1.0, 0.5).loss(model, some)
    expected = NextToken().loss(model, some) + 0.5 * divergence(log_probs(teacher, some).detach(), log_probs(model, some))
    parameters = [*model.parameters()]
    found, by_hand = (torch.autograd.grad(some_loss, parameters) for some_loss in (loss, expected))
    torch.testing.assert_close(found, by_hand, atol=2e-3, rtol=1e-3)


def test_validation_is_the_plain_cross_entropy() -> None:
    model, some = tiny_model(), batch()
    assert Guided(guide_of(tiny_model(seed=1)), 0.5, 0.5).measure(model, some) == NextToken().measure(model, some)


def test_a_teacher_with_a_padded_vocabulary_says_the_same() -> None:
    model, teacher, wide, some = tiny_model(), tiny_model(seed=1), tiny_model(vocab_size=128), batch()
    state = teacher.state_dict()
    padding = torch.randn(32, 32)
    wide.load_state_dict(state | {"embed_tokens.weight": torch.cat([state["embed_tokens.weight"], padding])})
    losses = [Guided(guide_of(guide), 0.5, 0.5).loss(model, some) for guide in (teacher, wide)]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("name", ["lora", "dora"])
def test_a_model_without_its_adapters_is_what_it_was(name: Any) -> None:
    model, some = tiny_model(), batch()
    before = model.hidden_states(some.input_ids, document_ids=some.document_ids)
    add_adapters(model, MethodConfig(name=name, rank=2, dropout=0.5))
    for layer in adapted_layers(model):
        torch.nn.init.normal_(layer.lora_B)
    model.train()
    hidden, weight = guide_without_adapters(model)(some)
    torch.testing.assert_close(hidden, before)
    assert weight is model.output_weight and model.training and all(layer.enabled for layer in adapted_layers(model))


def loss_of_a_step(objective: NearStart, model: Transformer, parts: list[Batch]) -> None:
    """As the loop does it: each micro-batch divided by the targets of all."""
    targets = sum(objective.count(part) for part in parts)
    for part in parts:
        (objective.loss(model, to_device(part, model.device)) / targets).backward()


@pytest.mark.parametrize("split", [1, 2, 4])
def test_a_penalty_pulls_to_the_start_whatever_the_micro_batches(split: int) -> None:
    samples = list(PackedRows(PIECES, 40, packing=False).ordered())
    size = len(samples) // split
    parts = [Batch.stack(samples[n : n + size]) for n in range(0, len(samples), size)]
    model, start = tiny_model(seed=1), {name: p.detach() for name, p in tiny_model().named_parameters()}
    loss_of_a_step(NearStart(NextToken(), 0.0, start), model, parts)
    plain = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad()
    loss_of_a_step(NearStart(NextToken(), 3.0, start), model, parts)
    for name, p in model.named_parameters():
        assert p.grad is not None
        torch.testing.assert_close(p.grad - plain[name], 3.0 * (p.detach() - start[name]), atol=1e-5, rtol=1e-4)
    assert NearStart(NextToken(), 3.0, start).count(parts[0]) == np.sum(parts[0].targets != -100)


def test_a_penalty_is_of_what_is_trained_alone() -> None:
    model, start = tiny_model(seed=1), {name: p.detach() for name, p in tiny_model().named_parameters()}
    model.embed_tokens.requires_grad_(False)
    some = batch()
    apart = sum((p - start[name]).square().sum() for name, p in model.named_parameters() if p.requires_grad)
    found = NearStart(NextToken(), 2.0, start).loss(model, some) - NextToken().loss(model, some)
    torch.testing.assert_close(found, apart * (some.targets != -100).sum(), atol=1e-2, rtol=1e-3)
    assert NearStart(NextToken(), 2.0, start).measure(model, some) == NextToken().measure(model, some)
