"""L2-SP: the gradient is that of the penalty, however a batch is split."""

import numpy as np
import pytest
import torch

from lmcraft.data.loader import Batch
from lmcraft.finetuning.packing import PackedRows
from lmcraft.finetuning.regularization import L2StartingPoint
from lmcraft.model.transformer import Transformer
from lmcraft.training.batch import to_device
from lmcraft.training.objective import NextToken
from tests.finetuning.chat import batch_of, random_example
from tests.tiny import tiny_model

EXAMPLES = [random_example(n, learned_from=n // 3) for n in (9, 17, 5, 20)]


def backward(objective: L2StartingPoint, model: Transformer, batches: list[Batch]) -> None:
    """As the training loop does it: each micro-batch divided by the targets of all."""
    targets = sum(objective.count(batch) for batch in batches)
    for batch in batches:
        (objective.loss(model, to_device(batch, model.device)) / targets).backward()


@pytest.mark.parametrize("split", [1, 2, 4])
def test_a_penalty_pulls_to_the_start_whatever_the_micro_batches(split: int) -> None:
    samples = list(PackedRows(EXAMPLES, 40, packing=False).ordered())
    size = len(samples) // split
    batches = [Batch.stack(samples[n : n + size]) for n in range(0, len(samples), size)]
    model, start = tiny_model(seed=1), {name: p.detach() for name, p in tiny_model().named_parameters()}
    backward(L2StartingPoint(NextToken(), 0.0, start), model, batches)
    plain = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad()
    backward(L2StartingPoint(NextToken(), 3.0, start), model, batches)
    for name, p in model.named_parameters():
        assert p.grad is not None
        torch.testing.assert_close(p.grad - plain[name], 3.0 * (p.detach() - start[name]), atol=1e-5, rtol=1e-4)
    assert L2StartingPoint(NextToken(), 3.0, start).count(batches[0]) == np.sum(batches[0].targets != -100)


def test_only_trained_weights_are_penalized() -> None:
    model, start = tiny_model(seed=1), {name: p.detach() for name, p in tiny_model().named_parameters()}
    model.embed_tokens.requires_grad_(False)
    batch = batch_of(EXAMPLES, 40)
    distance = sum((p - start[name]).square().sum() for name, p in model.named_parameters() if p.requires_grad)
    penalty = L2StartingPoint(NextToken(), 2.0, start).loss(model, batch) - NextToken().loss(model, batch)
    torch.testing.assert_close(penalty, distance * (batch.targets != -100).sum(), atol=1e-2, rtol=1e-3)
    assert L2StartingPoint(NextToken(), 2.0, start).measure(model, batch) == NextToken().measure(model, batch)
