"""Gradients of linear layers by document: the same as autograd's."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from lmcraft.interpretability.influence.gradients import (
    DocumentRows,
    FullGradients,
    GradientModel,
    document_batches,
    draw_tokens,
    text_rows,
)
from lmcraft.model.output_head import OutputHead
from lmcraft.model.transformer import Transformer
from tests.interpretability.influence.conftest import MakeDocuments
from tests.tiny import GPT2, tiny_model

EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "default": {},
    "gpt2": GPT2,
    "experts": EXPERTS,
    "tied": {"tie_word_embeddings": True},
}


def sum_of_losses(model: Transformer, rows: DocumentRows) -> Tensor:
    logits = model(rows.input_ids)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows.targets.flatten(), reduction="sum")


@pytest.mark.parametrize("settings", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_products_of_inputs_and_output_gradients_are_the_gradients_of_the_weights(settings: dict[str, Any]) -> None:
    model = tiny_model(**settings).double()
    model.compute_dtype = torch.float64
    gradients = GradientModel(model)
    ids = torch.randint(0, 96, (40,)).tolist()
    totals: dict[str, Tensor] = {}

    def visit(name: str, x_BTI: Tensor, grad_BTO: Tensor) -> None:
        totals[name] = totals.get(name, 0) + grad_BTO.flatten(0, 1).T @ x_BTI.flatten(0, 1)

    [rows] = text_rows(ids, 64)
    loss = gradients.visit_gradients(rows, visit)
    expected = sum_of_losses(model, rows)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    modules = dict(model.layers.named_modules())
    assert totals.keys() == gradients.layers.keys()
    for name, total in totals.items():
        layer = modules[name]
        columns = [layer.weight.grad, *([layer.bias.grad[:, None]] if layer.bias is not None else [])]
        torch.testing.assert_close(total, torch.cat(columns, dim=1), rtol=1e-3, atol=1e-5)


def test_the_model_is_left_as_it_is() -> None:
    model = tiny_model().bfloat16()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    GradientModel(model).visit_gradients(text_rows([1, 2, 3], 8)[0], lambda *_: None)
    FullGradients(model).of([1, 2, 3], 8)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_rows_hold_each_target_once(make_documents: MakeDocuments) -> None:
    documents = make_documents(["abc", "a", "the quick brown fox jumps", "be"])
    batches = list(document_batches(documents, range(4), 8, tokens=20))
    assert all(len(rows.owners) * rows.input_ids.shape[1] <= 20 for rows in batches)
    for number in range(4):
        tokens = documents.tokens(number).tolist()
        pairs = [
            (x, y)
            for rows in batches
            for owner, inputs, targets in zip(rows.owners, rows.input_ids.tolist(), rows.targets.tolist(), strict=True)
            for x, y in zip(inputs, targets, strict=True)
            if owner == number and y != -100
        ]
        assert sorted(pairs) == sorted(pairwise(tokens))


def test_gradients_of_all_parameters_are_those_of_autograd() -> None:
    model = tiny_model(tie_word_embeddings=True)
    ids = torch.randint(0, 96, (20,)).tolist()
    gradients = FullGradients(model).of(ids, 64)
    sum_of_losses(model, text_rows(ids, 64)[0]).backward()
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-5)


def test_tokens_are_drawn_from_the_models_distribution() -> None:
    weight = torch.randn(5, 3)
    x = torch.randn(1, 1, 3).expand(100, 200, 3)
    drawn = draw_tokens(x, OutputHead(weight), torch.Generator().manual_seed(0))
    shares = drawn.flatten().bincount(minlength=5) / drawn.numel()
    torch.testing.assert_close(shares, (weight @ x[0, 0]).softmax(0), rtol=0, atol=0.02)
