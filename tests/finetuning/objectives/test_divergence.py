"""Cross-entropy plus the divergence from another model, against the formulas."""

import pytest
import torch
from torch import Tensor

from lmcraft.finetuning.objectives.divergence import TARGETS_PER_CHUNK, CrossEntropyAndDivergence
from lmcraft.finetuning.reference_model import frozen_model
from lmcraft.model.transformer import Transformer
from lmcraft.training.batch import TensorBatch
from lmcraft.training.objective import NextToken
from tests.finetuning.chat import batch_of, random_example
from tests.tiny import tiny_model

EXAMPLES = [random_example(n, learned_from=n // 3) for n in (9, 17, 5, 20)]


def tensor_batch() -> TensorBatch:
    return batch_of(EXAMPLES, 40)


def log_probs(model: Transformer, batch: TensorBatch, temperature: float = 1.0) -> Tensor:
    """Log-probabilities at the learned positions, (N, V)."""
    logits = model(batch.input_ids, document_ids=batch.document_ids)[batch.targets != -100]
    return (logits.double() / temperature).log_softmax(-1)


def divergence(other: Tensor, model: Tensor) -> Tensor:
    """KL(other || model), summed over positions."""
    return (other.exp() * (other - model)).sum()


def test_a_model_does_not_diverge_from_itself() -> None:
    model, batch = tiny_model(), tensor_batch()
    objective = CrossEntropyAndDivergence(frozen_model(tiny_model()), 0.0, 1.0, temperature=2.0)
    loss = objective.loss(model, batch)
    loss.backward()
    torch.testing.assert_close(loss.detach(), torch.zeros(()), atol=1e-4, rtol=0)
    assert all(p.grad is None or p.grad.abs().max() < 1e-3 for p in model.parameters())


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_distillation_is_the_formula(temperature: float) -> None:
    model, teacher, batch = tiny_model(), tiny_model(seed=1), tensor_batch()
    t = temperature
    targets = batch.targets[batch.targets != -100]
    plain = -log_probs(model, batch).gather(1, targets[:, None]).sum()
    distance = divergence(log_probs(teacher, batch, t), log_probs(model, batch, t))
    loss = CrossEntropyAndDivergence(frozen_model(teacher), 0.3, 0.7, t).loss(model, batch)
    assert loss.item() == pytest.approx((0.3 * plain + 0.7 * t * t * distance).item(), rel=1e-4)


def test_gradients_of_a_long_batch_are_those_of_the_formula() -> None:
    pieces = [random_example(60, seed=n) for n in range(TARGETS_PER_CHUNK // 60 + 2)]
    model, teacher, batch = tiny_model(), tiny_model(seed=1), batch_of(pieces, 60)
    assert (batch.targets != -100).sum() > TARGETS_PER_CHUNK
    loss = CrossEntropyAndDivergence(frozen_model(teacher), 1.0, 0.5).loss(model, batch)
    expected = NextToken().loss(model, batch) + 0.5 * divergence(log_probs(teacher, batch).detach(), log_probs(model, batch))
    parameters = [*model.parameters()]
    actual, by_hand = (torch.autograd.grad(value, parameters) for value in (loss, expected))
    torch.testing.assert_close(actual, by_hand, atol=2e-3, rtol=1e-3)


def test_validation_is_the_plain_cross_entropy() -> None:
    model, batch = tiny_model(), tensor_batch()
    assert CrossEntropyAndDivergence(frozen_model(tiny_model(seed=1)), 0.5, 0.5).measure(
        model, batch
    ) == NextToken().measure(model, batch)


def test_padding_of_the_teachers_vocabulary_changes_nothing() -> None:
    model, teacher, wide, batch = tiny_model(), tiny_model(seed=1), tiny_model(vocab_size=128), tensor_batch()
    state = teacher.state_dict()
    padding = torch.randn(32, 32)
    wide.load_state_dict(state | {"embed_tokens.weight": torch.cat([state["embed_tokens.weight"], padding])})
    losses = [CrossEntropyAndDivergence(frozen_model(other), 0.5, 0.5).loss(model, batch) for other in (teacher, wide)]
    torch.testing.assert_close(*losses)
