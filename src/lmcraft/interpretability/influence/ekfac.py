"""Influence of training documents by EK-FAC, an approximation of the Fisher information that can be inverted.

Removing a document whose losses have the gradient g_d moves the weights of a converged model by H^-1 g_d / N, and the loss
of a text with the gradient g by g . H^-1 g_d / N (influence functions, arXiv 1703.04730, eq. 2). H is the Gauss-Newton
Hessian, which for cross-entropy is the Fisher information, the second moment of gradients whose labels the model draws
itself. Each linear layer has a block of its own. K-FAC (arXiv 1503.05671) takes the block for a Kronecker product of the
second moments of the layer's inputs and output gradients; EK-FAC (arXiv 1806.03884, eq. 7) keeps only the eigenvectors of
that product and measures the second moment of the gradients along each. The damping is a tenth of a layer's mean eigenvalue
(arXiv 2308.03296, section 3.1 and appendix B).

A model at the end of a run has not converged, so the scores are good for their order rather than for their size.

Shapes: Q texts, N documents, B rows, T tokens of a row, I inputs (and 1 for a bias), O outputs.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.errors import UserError
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.interpretability.influence.gradients import (
    TOKENS_PER_BATCH,
    GradientModel,
    Visit,
    document_batches,
    text_rows,
)
from lmcraft.machine import free_memory
from lmcraft.model.transformer import Transformer
from lmcraft.terminal import format_bytes, progress_bar

DAMPING = 0.1  # of a layer's mean eigenvalue
FIT_TOKENS = 2**18  # of documents from which the factors are estimated, at most
OPERATIONS_PER_EIGENVECTOR = 30  # times the cube of a matrix's size, in float64: about as long as these in float32
NUMBERS_PER_PRODUCT = 2**24  # of gradients of rows that are in memory at a time


@dataclass(frozen=True)
class Forecast:
    """What a method will take."""

    seconds: float
    bytes: int
    """Of memory, beyond the model and its activations."""


@dataclass(frozen=True)
class LayerFactors:
    """The approximate Fisher information of a layer's weight, per target: Q diag(eigenvalues) Q^T."""

    input_basis: Tensor
    """(I, I) eigenvectors of the inputs' second moment, in columns."""
    output_basis: Tensor
    """(O, O) those of the output gradients."""
    eigenvalues: Tensor
    """(O, I) second moment of the gradients along each pair."""

    def precondition(self, gradient: Tensor, damping: float = DAMPING) -> Tensor:
        """(H + damping x mean eigenvalue)^-1 gradient, (O, I)."""
        damped = self.eigenvalues + damping * self.eigenvalues.mean()
        rotated = self.output_basis.T @ gradient @ self.input_basis
        solved = torch.where(damped > 0, rotated / damped, 0.0)
        return self.output_basis @ solved @ self.input_basis.T


def ekfac_scores(
    model: Transformer,
    documents: Documents,
    ids: Sequence[int],
    *,
    sequence_length: int,
    seed: int = 0,
    damping: float = DAMPING,
    fit_tokens: int = FIT_TOKENS,
) -> NDArray[np.float64]:
    """How much training on each document lowered the loss of a text, (N,); see `ekfac_scores_of_texts`."""
    scores: NDArray[np.float64] = ekfac_scores_of_texts(
        model,
        documents,
        [ids],
        sequence_length=sequence_length,
        seed=seed,
        damping=damping,
        fit_tokens=fit_tokens,
    )[0]
    return scores


def ekfac_scores_of_texts(
    model: Transformer,
    documents: Documents,
    texts: Sequence[Sequence[int]],
    *,
    sequence_length: int,
    seed: int = 0,
    damping: float = DAMPING,
    fit_tokens: int = FIT_TOKENS,
) -> NDArray[np.float64]:
    """How much training on each document lowered the loss of each text, (Q, N), as EK-FAC predicts it, in nats per token.

    The weights of the blocks' linear layers count; embeddings, output projection and norms do not. Nothing is kept when it
    is interrupted.

    Args:
        model: with its final weights; it is not changed.
        documents: that it was trained on.
        texts: tokens of the texts, at least two each.
        sequence_length: of the run's rows; longer documents are cut.
        seed: of the labels, and of the choice of the documents from which the factors are estimated.
        damping: share of a layer's mean eigenvalue that is added to its eigenvalues.
        fit_tokens: of these documents, at most.

    Raises:
        UserError: the factors need more memory than is free.
    """
    check_memory(model)
    gradients = GradientModel(model)
    factors = fit_factors(gradients, documents, sequence_length=sequence_length, seed=seed, tokens=fit_tokens)
    directions = [
        {
            name: factors[name].precondition(gradient, damping)
            for name, gradient in text_gradient(gradients, ids, sequence_length).items()
        }
        for ids in texts
    ]
    targets = int(documents.target_counts.sum())
    return product_scores(gradients, documents, directions, sequence_length) / max(1, targets)


def check_memory(model: Transformer) -> None:
    """Raise UserError if the factors of a model do not fit into the memory that is free."""
    needed, free = factor_bytes(model), free_memory(model.device)
    if needed > free:
        raise UserError(
            f"EK-FAC needs about {format_bytes(needed)} of memory for this model, and {format_bytes(free)} are free: leave "
            "ekfac out of --methods, or use a smaller model"
        )


def factor_bytes(model: Transformer) -> int:
    """Memory that the factors of a model take, in bytes, with the sums from which they are computed."""
    sizes = GradientModel(model).sizes().values()
    # Bases and the sums that they come from; eigenvalues, gradient of the text and direction.
    return 4 * sum(2 * (outputs**2 + inputs**2) + 3 * outputs * inputs for outputs, inputs in sizes)


def forecast(model: Transformer, documents: Documents, *, sequence_length: int, fit_tokens: int = FIT_TOKENS) -> Forecast:
    """What `ekfac_scores` will take on this machine, from the time of one batch of documents: two passes over those from
    which it estimates the factors, the eigenvectors, and a pass over all documents."""
    gradients = GradientModel(model)
    numbers = _choose(documents, TOKENS_PER_BATCH, seed=0)
    rows = next(document_batches(documents, numbers, sequence_length, tokens=gradients.tokens_per_batch), None)
    if rows is None:
        return Forecast(0.0, factor_bytes(model))
    seconds = []
    for _ in range(2):  # the first warms up
        begin = time.perf_counter()
        gradients.visit_gradients(rows, lambda name, inputs, output_gradients: None)
        seconds.append(time.perf_counter() - begin)
    seconds_per_operation = min(seconds) / rows.target_count / model.flops_per_token(sequence_length)
    sizes = gradients.sizes().values()
    products = sum(2 * (outputs**2 + inputs**2) + 2 * outputs * inputs for outputs, inputs in sizes)
    tokens = int(documents.target_counts.sum())
    per_token = model.flops_per_token(sequence_length) + products
    eigenvectors = sum(OPERATIONS_PER_EIGENVECTOR * (outputs**3 + inputs**3) for outputs, inputs in sizes)
    operations = (2 * min(tokens, fit_tokens) + tokens) * per_token + eigenvectors
    return Forecast(operations * seconds_per_operation, factor_bytes(model))


def fit_factors(
    gradients: GradientModel, documents: Documents, *, sequence_length: int, seed: int = 0, tokens: int = FIT_TOKENS
) -> dict[str, LayerFactors]:
    """The factors of each linear layer, by name, estimated from labels that the model draws.

    Args:
        gradients: of the model.
        documents: that it was trained on.
        sequence_length: of the run's rows.
        seed: of the labels and of the choice of documents.
        tokens: maximum tokens of the documents that are read; all of them, if they have fewer.
    """
    numbers = _choose(documents, tokens, seed)
    passes = _Passes(gradients, documents, numbers, sequence_length, seed)
    moments = _Moments(gradients)
    passes.run("EK-FAC: inputs and output gradients", moments.visitor)
    bases = moments.bases()
    eigenvalues = _Eigenvalues(bases)
    count = passes.run("EK-FAC: eigenvalues", eigenvalues.visitor)
    return {
        name: LayerFactors(*bases[name], total.div_(count).to(bases[name][0].dtype))
        for name, total in eigenvalues.totals.items()
    }


def _choose(documents: Documents, tokens: int, seed: int) -> list[int]:
    """Some documents, drawn at random, whose tokens are at most so many; at least one."""
    order = np.random.default_rng(seed).permutation(len(documents))
    ends = np.cumsum(documents.lengths[order])
    return sorted(order[: max(1, int(np.searchsorted(ends, tokens, side="right")))].tolist())


@dataclass(frozen=True)
class _Passes:
    """Passes over some documents, with labels that the model draws, the same in each."""

    gradients: GradientModel
    documents: Documents
    numbers: Sequence[int]
    sequence_length: int
    seed: int

    def run(self, description: str, visitor: Callable[[Tensor], Visit]) -> int:
        """Visit the gradients of all documents; returns the number of targets.

        Args:
            description: for the progress bar.
            visitor: gets which positions of a batch have targets, (B, T), and returns the function that visits its layers.
        """
        generator = torch.Generator(self.gradients.model.device).manual_seed(self.seed)
        batches = document_batches(
            self.documents, self.numbers, self.sequence_length, tokens=self.gradients.tokens_per_batch
        )
        total = int(self.documents.target_counts[self.numbers].sum())
        done = 0
        with progress_bar(description) as report:
            for rows in batches:
                is_target = (rows.targets != IGNORE_INDEX).to(self.gradients.model.device)
                self.gradients.visit_gradients(rows, visitor(is_target), generator=generator)
                done += rows.target_count
                report(done, total)
        return max(1, done)


class _Moments:
    """Sums of a a^T and g g^T over tokens, for the inputs a and the output gradients g of each layer."""

    def __init__(self, gradients: GradientModel) -> None:
        like = gradients.model.embed_tokens.weight
        self._sums = {
            name: (like.new_zeros(inputs, inputs), like.new_zeros(outputs, outputs))
            for name, (outputs, inputs) in gradients.sizes().items()
        }

    def visitor(self, is_target: Tensor) -> Visit:
        def visit(name: str, x_BTI: Tensor, grad_BTO: Tensor) -> None:
            x_NI = x_BTI[is_target] if x_BTI.shape[:2] == is_target.shape else x_BTI.flatten(0, 1)
            grad_NO = grad_BTO.flatten(0, 1)
            inputs, outputs = self._sums[name]
            inputs.addmm_(x_NI.T, x_NI)
            outputs.addmm_(grad_NO.T, grad_NO)

        return visit

    def bases(self) -> dict[str, tuple[Tensor, Tensor]]:
        """The eigenvectors of both sums of each layer; the sums are dropped."""
        return {name: (_eigenvectors(inputs), _eigenvectors(outputs)) for name, (inputs, outputs) in self._take()}

    def _take(self) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
        while self._sums:
            name = next(iter(self._sums))
            yield name, self._sums.pop(name)


def _eigenvectors(matrix: Tensor) -> Tensor:
    vectors: Tensor = torch.linalg.eigh(matrix.double())[1]
    return vectors.to(matrix.dtype)


class _Eigenvalues:
    """Sums over rows of the squared gradients of each layer in its bases, (O, I)."""

    def __init__(self, bases: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        self._bases = bases
        self.totals = {name: inputs.new_zeros(len(outputs), len(inputs)) for name, (inputs, outputs) in bases.items()}

    def visitor(self, is_target: Tensor) -> Visit:
        def visit(name: str, x_BTI: Tensor, grad_BTO: Tensor) -> None:
            inputs, outputs = self._bases[name]
            total = self.totals[name]
            rows = max(1, NUMBERS_PER_PRODUCT // total.numel())
            parts = zip(torch.split(x_BTI @ inputs, rows), torch.split(grad_BTO @ outputs, rows), strict=True)
            for x, gradient in parts:
                total.add_(torch.bmm(gradient.transpose(1, 2), x).square_().sum(dim=0))

        return visit


def text_gradient(gradients: GradientModel, ids: Sequence[int], sequence_length: int) -> dict[str, Tensor]:
    """The gradient of the mean loss of a text for the weight of each layer, (O, I)."""
    like = gradients.model.embed_tokens.weight
    totals = {name: like.new_zeros(*size) for name, size in gradients.sizes().items()}

    def visit(name: str, x_BTI: Tensor, grad_BTO: Tensor) -> None:
        totals[name].addmm_(grad_BTO.flatten(0, 1).T, x_BTI.flatten(0, 1))

    for rows in text_rows(ids, sequence_length):
        gradients.visit_gradients(rows, visit)
    return {name: total.div_(len(ids) - 1) for name, total in totals.items()}


def product_scores(
    gradients: GradientModel, documents: Documents, directions: Sequence[Mapping[str, Tensor]], sequence_length: int
) -> NDArray[np.float64]:
    """The products of each document's gradient, summed over its tokens, with some directions of the weights, (Q, N).

    Args:
        gradients: of the model.
        documents: whose gradients they are.
        directions: each has the direction of every layer's weight, (O, I).
        sequence_length: of the run's rows.
    """
    scores_QN = np.zeros((len(directions), len(documents)))
    total = int(documents.target_counts.sum())
    done = 0
    numbers = range(len(documents))
    with progress_bar("EK-FAC: documents") as report:
        for rows in document_batches(documents, numbers, sequence_length, tokens=gradients.tokens_per_batch):
            products_QB = torch.zeros(len(directions), len(rows.owners), dtype=torch.float64)
            gradients.visit_gradients(rows, _adder(products_QB, directions))
            for scores_N, products_B in zip(scores_QN, products_QB.numpy(), strict=True):
                np.add.at(scores_N, rows.owners, products_B)
            done += rows.target_count
            report(done, total)
    return scores_QN


def _adder(products_QB: Tensor, directions: Sequence[Mapping[str, Tensor]]) -> Visit:
    def visit(name: str, x_BTI: Tensor, grad_BTO: Tensor) -> None:
        for products_B, direction in zip(products_QB, directions, strict=True):
            products_B.add_(((grad_BTO @ direction[name]) * x_BTI).sum(dim=(1, 2)).double().cpu())

    return visit
