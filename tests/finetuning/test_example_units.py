"""Examples as units: one row each, and their gradients as the private step clips them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.finetuning.config import MethodConfig
from lmcraft.finetuning.encoding import TokenizedExample, target_at_end
from lmcraft.finetuning.example_units import ExampleUnits
from lmcraft.finetuning.head import Labels, add_head
from lmcraft.finetuning.lora import adapted_layers
from lmcraft.finetuning.methods import set_trainable_weights
from lmcraft.finetuning.objectives.classification import ClassificationLoss
from lmcraft.finetuning.packing import PackedRows
from lmcraft.model.transformer import Transformer
from lmcraft.training.batch import TensorBatch, to_device
from lmcraft.training.dp.clipping import GhostClipper
from lmcraft.training.objective import NextToken, Objective
from tests.finetuning.chat import random_example
from tests.tiny import tiny_model

LENGTHS = (5, 9, 20, 13)
METHODS = {
    "lora": MethodConfig(rank=2),
    "rslora": MethodConfig(rank=3, use_rslora=True, target_modules=("q_proj", "v_proj")),
    "full": MethodConfig(name="full"),
    "last": MethodConfig(name="last", last_layers=1),
    "head": MethodConfig(name="head"),
}


def units(*, label: bool = False) -> ExampleUnits:
    examples = [random_example(n, learned_from=n // 3) for n in LENGTHS]
    if label:
        examples = [target_at_end(example.input_ids, n % 3) for n, example in enumerate(examples)]
    return ExampleUnits(examples, 32)


def trained_model(method: MethodConfig, *, head: int = 0) -> Transformer:
    model = tiny_model(tie_word_embeddings=False)
    if head:
        add_head(model, head)
    set_trainable_weights(model, method)
    torch.manual_seed(1)
    for layer in adapted_layers(model):
        torch.nn.init.normal_(layer.lora_B, std=0.1)  # which is 0 before the first step
    model.double().compute_dtype = torch.float64
    return model


def gradients_of_rows(model: Transformer, objective: Objective, batch: TensorBatch) -> dict[str, Tensor]:
    """The gradients of each row's mean loss by the names of the weights, one backward pass after another."""
    gradients: dict[str, list[Tensor]] = {}
    for ids, targets in zip(batch.input_ids, batch.targets, strict=True):
        model.zero_grad()
        count = (targets != IGNORE_INDEX).sum()
        loss = objective.loss(model, TensorBatch(ids[None], targets[None], None)) / count
        loss.backward()  # type: ignore[no-untyped-call]
        for name, p in model.named_parameters():
            if p.requires_grad:
                assert p.grad is not None
                gradients.setdefault(name, []).append(p.grad)
    model.zero_grad()
    return {name: torch.stack(rows) for name, rows in gradients.items()}


def check(model: Transformer, objective: Objective, batch: TensorBatch) -> None:
    gradients = gradients_of_rows(model, objective, batch)
    norms = torch.cat([g.flatten(1) for g in gradients.values()], dim=1).norm(dim=1)
    limit = float(norms.median())
    clipped = GhostClipper(model, objective, limit).add_clipped(batch)
    assert torch.allclose(clipped.norms, norms, rtol=1e-6, atol=0)
    factors = (limit / norms).clamp(max=1.0)
    for name, p in model.named_parameters():
        if p.requires_grad:
            expected = torch.einsum("b,b...->...", factors, gradients[name])
            assert p.grad is not None and torch.allclose(p.grad, expected, rtol=1e-5, atol=1e-6 * limit), name


@pytest.mark.parametrize("method", METHODS)
def test_each_method_clips_the_gradients_of_examples(method: str) -> None:
    model = trained_model(METHODS[method])
    check(model, NextToken(), to_device(units().batch(range(4)), model.device))


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("method", ["lora", "full", "head"])
def test_classifiers_clip_the_gradients_of_texts(method: str, pooling: str) -> None:
    model = trained_model(METHODS[method], head=3)
    loss = ClassificationLoss(Labels(("a", "b", "c"), pooling=pooling))  # type: ignore[arg-type]
    check(model, loss, to_device(units(label=True).batch(range(4)), model.device))


def test_an_example_is_a_row_of_its_own() -> None:
    data = units()
    assert len(data) == 4 and data.mean_length == sum(LENGTHS) / 4
    for number, example in enumerate(data.examples):
        for draw in (0, 2**62):
            row = data.row(number, draw)
            assert row.input_ids.tolist() == example.input_ids.tolist() and not row.document_ids.any()
            assert row.targets.tolist() == example.targets.tolist()
    batch = data.batch([0, 5])
    assert batch.input_ids.shape == (2, 9) and batch.document_ids.tolist() == [[0] * 5 + [1] * 4, [0] * 9]
    assert [len(row.input_ids) for row in data.ordered()] == list(LENGTHS)


@pytest.mark.parametrize("change", [lambda e: e[:-1], lambda e: [e[0], *e]])
def test_the_fingerprint_is_that_of_the_examples(change: Callable[[list[TokenizedExample]], list[TokenizedExample]]) -> None:
    data = units()
    assert data.fingerprint() == PackedRows(data.examples, 32).fingerprint()
    assert data.fingerprint() != ExampleUnits(change(list(data.examples)), 32).fingerprint()
