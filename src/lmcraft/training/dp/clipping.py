"""Ghost clipping: the sum of the rows' clipped gradients in one forward and one backward pass.

The weights take no part in the backward pass. Hooks keep each layer's inputs and the gradients of its outputs, from which
the norms of the rows' gradients over all weights follow; then the sum is computed with each row's factor (book-keeping,
arXiv 2210.00038, algorithm 1).

Shapes: B rows, T tokens, C width.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.model.transformer import Embedding, Transformer
from lmcraft.training.batch import TensorBatch
from lmcraft.training.dp.layers import HANDLERS
from lmcraft.training.dp.projection import Projection, total_squared_norms
from lmcraft.training.dp.row_gradients import RowGradients
from lmcraft.training.objective import NextToken, Objective

# Clipping leaves this much room below the limit for the rounding of norms and sums.
ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10}


class ClippedRows(NamedTuple):
    """What became of the rows of a micro-batch, (B,) each."""

    norms: Tensor
    """Of the gradient of the row's mean loss, over all trained weights."""
    factors: Tensor
    """By which these gradients were multiplied before they were added, at most 1."""
    losses: Tensor
    """The sum of the rows' losses, a scalar."""


class GhostClipper:
    """Adds the rows' clipped gradients to the gradients of the model's trained weights.

    Args:
        model: whose weights that require a gradient are trained; `check_layers` has accepted it.
        objective: a sum over independent rows.
        max_norm: of a row's gradient, over all trained weights.
    """

    def __init__(self, model: Transformer, objective: Objective, max_norm: float) -> None:
        self.model, self.objective, self.max_norm = model, objective, max_norm
        self.weights = [p for p in model.parameters() if p.requires_grad]
        trained = set(self.weights)
        self._layers = [m for m in model.modules() if trained & {*m._parameters.values()} and type(m) in HANDLERS]

    def add_clipped(self, batch: TensorBatch) -> ClippedRows:
        """Add the clipped gradients of the rows' mean losses, summed over the rows, to the weights' `grad`."""
        counts_B = (batch.targets != IGNORE_INDEX).sum(1).clamp(min=1)
        with self._recording(len(batch.targets)) as record:
            loss = self._loss(batch, record)
            loss.backward()  # type: ignore[no-untyped-call]
        parts = record.finish()
        with torch.no_grad():
            squares_B = torch.stack([total_squared_norms(part) for part in parts.values()]).sum(0)
            norms_B = squares_B.sqrt() / counts_B
            factors_B = self.factors(norms_B)
            for weight, gradients in parts.items():
                assert weight.grad is not None
                for gradient in gradients:
                    gradient.add_sum(weight.grad, (factors_B / counts_B).to(weight.grad.dtype))
        return ClippedRows(norms_B, factors_B, loss.detach())

    def factors(self, norms_B: Tensor) -> Tensor:
        """The factor of each row's gradient, (B,): min(1, max_norm / norm)."""
        room = 1 - ROUNDING[self.model.compute_dtype]
        return (room * self.max_norm / norms_B).clamp(max=1.0)

    @property
    def _output_weight(self) -> Tensor:
        """That of the output projection; an encoder, which has none, never uses it."""
        return self.model.embed_tokens.weight if self.model.config.bidirectional else self.model.output_head.weight

    def _loss(self, batch: TensorBatch, record: "_Record") -> Tensor:
        objective, weight = self.objective, self._output_weight
        if isinstance(objective, NextToken) and weight.grad is not None:
            objective = replace(objective, projection=record.projection.linear_cross_entropy)
        return objective.loss(self.model, batch)

    @contextmanager
    def _recording(self, rows: int) -> Iterator["_Record"]:
        """Records the gradients of the layers' weights for each row during a forward and a backward pass."""
        record = _Record(rows, self._output_weight, Projection(rows))
        for weight in self.weights:
            weight.requires_grad_(False)
            weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
        hooks = [layer.register_forward_hook(record.observe) for layer in self._layers]
        try:
            yield record
        finally:
            for hook in hooks:
                hook.remove()
            for weight in self.weights:
                weight.requires_grad_(True)


@dataclass
class _Record:
    """The gradients of a micro-batch of so many rows, as the backward pass finds them."""

    rows: int
    output_weight: Tensor
    projection: Projection
    parts: dict[Tensor, list[RowGradients]] = field(default_factory=lambda: defaultdict(list))
    seen: set[nn.Module] = field(default_factory=set)

    def observe(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """A forward hook: waits for the gradient of the layer's output."""
        assert layer not in self.seen, f"{type(layer).__name__} is used twice"
        self.seen.add(layer)
        x, (output, *_) = inputs[0].detach(), (output,)
        if isinstance(layer, Embedding) and x.dim() == 1:  # positions, which all rows share
            x, output = x.expand(self.rows, -1), output.expand(self.rows, *output.shape)
        assert len(x) == self.rows, f"{type(layer).__name__} mixes rows"
        if not output.requires_grad:
            output = output.detach().requires_grad_()
        output.register_hook(partial(self._receive, layer, x))  # type: ignore[no-untyped-call]
        return output

    @torch.no_grad()
    def _receive(self, layer: nn.Module, x: Tensor, gradient: Tensor) -> None:
        if gradient.dim() == 2:  # one vector per row
            x, gradient = x[:, None], gradient[:, None]
        for weight, gradients in HANDLERS[type(layer)](layer, x, gradient):
            self.parts[weight].append(gradients)

    def finish(self) -> dict[Tensor, list[RowGradients]]:
        """The gradients of all weights."""
        if self.projection.gradients is not None:
            self.parts[self.output_weight].append(self.projection.gradients)
        return self.parts
