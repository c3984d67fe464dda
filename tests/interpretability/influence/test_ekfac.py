"""EK-FAC: against dense Fisher information, and exact where that is a Kronecker product."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.interpretability.influence import ekfac
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.interpretability.influence.ekfac import LayerFactors, ekfac_scores, fit_factors, text_gradient
from lmcraft.interpretability.influence.gradients import GradientModel, document_batches, text_rows
from tests.interpretability.influence.conftest import MakeDocuments
from tests.interpretability.influence.test_gradients import ARCHITECTURES
from tests.tiny import tiny_model

TEXTS = ["the cat sat on the mat", "a", "a dog ran and ran and ran", "the cat sat on the mat", "12345", "a dog sat"]

SMALL = {"hidden_size": 16, "head_dim": 8, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 12}


def gradient_model(**settings: Any) -> GradientModel:
    model = tiny_model(**settings).double()
    model.compute_dtype = torch.float64
    return GradientModel(model)


def drawn_gradients(gradients: GradientModel, documents: Documents, length: int, seed: int) -> dict[str, Tensor]:
    """The gradient of each row with drawn labels, (rows, O * I), by layer."""
    generator = torch.Generator().manual_seed(seed)
    rows_of: dict[str, list[Tensor]] = {name: [] for name in gradients.layers}

    def visit(name: str, x_BTI: Tensor, grad_BTO: Tensor) -> None:
        rows_of[name] += [(gradient.T @ x).flatten() for gradient, x in zip(grad_BTO, x_BTI, strict=True)]

    for rows in document_batches(documents, range(len(documents)), length, tokens=gradients.tokens_per_batch):
        gradients.visit_gradients(rows, visit, generator=generator)
    return {name: torch.stack(rows) for name, rows in rows_of.items()}


def test_eigenvalues_are_those_of_the_fisher_information_along_the_basis(make_documents: MakeDocuments) -> None:
    documents, gradients = make_documents(TEXTS), gradient_model(**SMALL)
    targets = int((documents.lengths - 1).sum())
    factors = fit_factors(gradients, documents, sequence_length=64, seed=3)
    for name, rows in drawn_gradients(gradients, documents, 64, seed=3).items():
        layer = factors[name]
        basis = torch.kron(layer.output_basis, layer.input_basis)
        torch.testing.assert_close(basis.T @ basis, torch.eye(len(basis), dtype=torch.float64), atol=1e-9, rtol=0)
        expected = (rows @ basis).square().sum(0) / targets
        torch.testing.assert_close(layer.eigenvalues.flatten(), expected, rtol=1e-7, atol=1e-12)


def test_the_inverse_is_exact_where_the_fisher_information_is_a_kronecker_product(make_documents: MakeDocuments) -> None:
    documents, gradients = make_documents(["ab"] * 50), gradient_model(**SMALL)  # every row has the same single input
    factors = fit_factors(gradients, documents, sequence_length=64, seed=1)
    texts = text_gradient(gradients, [1, 0, 1], 64)
    for name, rows in drawn_gradients(gradients, documents, 64, seed=1).items():
        if not rows.any():  # queries and keys, since a single token attends to itself
            continue
        fisher = rows.T @ rows / len(rows)
        damping = ekfac.DAMPING * fisher.trace() / len(fisher)
        exact = torch.linalg.solve(fisher + damping * torch.eye(len(fisher), dtype=torch.float64), texts[name].flatten())
        torch.testing.assert_close(factors[name].precondition(texts[name]).flatten(), exact, rtol=1e-6, atol=1e-12)


def test_preconditioning_inverts_the_approximation() -> None:
    bases = [torch.linalg.qr(torch.randn(n, n, dtype=torch.float64))[0] for n in (3, 4)]
    factors = LayerFactors(bases[0], bases[1], torch.rand(4, 3, dtype=torch.float64))
    basis = torch.kron(bases[1], bases[0])
    dense = basis @ torch.diag(factors.eigenvalues.flatten() + 0.3 * factors.eigenvalues.mean()) @ basis.T
    gradient = torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close(dense @ factors.precondition(gradient, 0.3).flatten(), gradient.flatten())


def test_directions_that_no_gradient_has_are_left_out() -> None:
    factors = LayerFactors(torch.eye(3), torch.eye(2), torch.zeros(2, 3))
    assert not factors.precondition(torch.zeros(2, 3)).any()


@pytest.mark.parametrize("settings", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_scores_are_products_with_the_gradients_of_documents(
    settings: dict[str, Any], make_documents: MakeDocuments
) -> None:
    documents, gradients = make_documents(TEXTS), gradient_model(**settings)
    ids = documents.tokenizer.encode("a cat ran")
    scores = ekfac_scores(gradients.model, documents, ids, sequence_length=10, seed=2)
    factors = fit_factors(gradients, documents, sequence_length=10, seed=2)
    text = {name: factors[name].precondition(g) for name, g in text_gradient(gradients, ids, 10).items()}
    targets = int((documents.lengths - 1).sum())
    for number in range(len(documents)):
        own = dense_gradient(gradients, documents.tokens(number).tolist(), 10)
        expected = sum(float((own[name] * text[name]).sum()) for name in own) / targets
        assert scores[number] == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert scores[0] == pytest.approx(scores[3], rel=1e-9)


def dense_gradient(gradients: GradientModel, ids: Sequence[int], length: int) -> dict[str, Tensor]:
    totals = {name: torch.zeros(*size, dtype=torch.float64) for name, size in gradients.sizes().items()}

    def visit(name: str, x_BTI: Tensor, grad_BTO: Tensor) -> None:
        totals[name] += grad_BTO.flatten(0, 1).T @ x_BTI.flatten(0, 1)

    for rows in text_rows(ids, length):
        gradients.visit_gradients(rows, visit)
    return totals


def test_a_document_that_is_the_text_taught_it(make_documents: MakeDocuments) -> None:
    documents = make_documents(TEXTS)
    scores = ekfac_scores(tiny_model(), documents, documents.tokens(2).tolist(), sequence_length=64)
    assert np.argmax(scores) == 2
    assert scores[2] > 0


def test_factors_are_estimated_from_a_bounded_number_of_tokens(make_documents: MakeDocuments) -> None:
    documents = make_documents(TEXTS)
    scores = ekfac_scores(tiny_model(), documents, [1, 2, 3], sequence_length=64, fit_tokens=1)
    assert len(scores) == len(TEXTS)
    assert np.isfinite(scores).all()


def test_a_forecast_counts_the_memory_of_the_factors_and_the_time_of_the_passes(make_documents: MakeDocuments) -> None:
    documents, model = make_documents(TEXTS), tiny_model(**SMALL)
    forecast = ekfac.forecast(model, documents, sequence_length=64)
    assert forecast.seconds > 0
    sizes = [(16, 16), (8, 16), (8, 16), (16, 16), (12, 16), (12, 16), (16, 12)] * 2
    assert forecast.bytes == 4 * sum(2 * (outputs**2 + inputs**2) + 3 * outputs * inputs for outputs, inputs in sizes)
    documents.lengths[:] = 0
    assert ekfac.forecast(model, documents, sequence_length=64).seconds == 0


def test_a_model_whose_factors_do_not_fit_is_refused(make_documents: MakeDocuments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ekfac, "free_memory", lambda device: 1000)
    with pytest.raises(UserError, match="1,000 bytes are free"):
        ekfac_scores(tiny_model(), make_documents(TEXTS), [1, 2, 3], sequence_length=64)
