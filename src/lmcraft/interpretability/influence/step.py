"""An optimizer step as a function of the documents' weights, in float64 and differentiable.

A step minimizes sum of w_d * loss / (number of targets of the batch) over the targets, where w_d is the weight of the
target's document: 1 in the run, 0 for a document that is left out. The update rules are those of
`lmcraft.training.optimizer`: AdamW, Adam, SGD, Muon and NorMuon with clipping, penalties and decay.

All numbers of a state are in vectors, so that a rule is a few operations. The matrices that Muon updates come first.

Shapes: P weights of the model, M of them in Muon's matrices, R rows of those, N documents, B rows of a batch, T tokens of a
row, Q quantities.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from lmcraft.data.document_numbers import NO_DOCUMENT
from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.errors import UserError
from lmcraft.interpretability.influence.gradients import DocumentRows
from lmcraft.interpretability.influence.training_run import Batch, TrainingRun
from lmcraft.model.transformer import Transformer
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.muon import EPS, orthogonalize
from lmcraft.training.optimizer import parameter_groups

SMALLEST_SQUARE = 1e-60  # below it, the derivative of a square root is taken as zero


@dataclass(frozen=True)
class State:
    """All numbers that the next step depends on, or the derivatives by them."""

    weights: Tensor
    """(P,)"""
    momentum: Tensor
    """(P,) mean gradient of Adam, Muon and SGD."""
    squares: Tensor
    """(P - M,) mean squared gradient of Adam."""
    row_squares: Tensor
    """(R,) NorMuon's mean square of each row."""

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    def as_dict(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def with_gradients(self) -> Self:
        """A copy of which derivatives can be taken."""
        return type(self)(*(tensor.detach().requires_grad_() for tensor in self.tensors()))

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors())


@dataclass(frozen=True)
class _Matrices:
    """The matrices of one shape, which Muon orthogonalizes together."""

    shape: torch.Size
    index: Tensor
    """(n, numbers of a matrix) where they are among the weights."""
    rows: Tensor
    """(n, out) where their rows are in `State.row_squares`."""


class TrainingStep:
    """The steps of a run as functions of its state and of the weights of documents.

    Raises:
        UserError: the model's routing between experts has no derivatives.
    """

    def __init__(self, run: TrainingRun, model: Transformer | None = None, dtype: torch.dtype = torch.float64) -> None:
        """Prepare the steps of a run; `model` has the initial weights, or None for those of the run."""
        model = (model or run.initial_model()).to(dtype).requires_grad_(False)
        if model.config.num_experts:
            raise UserError(
                f"'{run.folder.path}' is a mixture of experts, whose routing has no derivatives by the weights of "
                "documents: use the methods ekfac and cosine"
            )
        model.compute_dtype = dtype
        model.use_attention("matmul")
        self.run, self.config, self.model, self.dtype = run, run.config.optimizer, model, dtype
        self.objective = run.objective
        self._lay_out(model, run.config.optimizer, run.config.width_ratio)
        self._micro_batch_size = run.config.micro_batch_size or run.config.batch_size

    def _lay_out(self, model: Transformer, config: OptimizerConfig, width_ratio: float) -> None:
        """Choose the order of the weights, and set the learning rate and the decay of each."""
        groups = parameter_groups(model, config, width_ratio)
        groups.sort(key=lambda group: not group.matrices)
        names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
        self.shapes: dict[str, torch.Size] = {}
        rates, decays, penalized = [], [], []
        self._muon_size, by_shape = 0, defaultdict[torch.Size, list[int]](list)
        uses_muon, start = config.name in ("muon", "normuon"), 0
        for group in groups:
            for parameter in group.params:
                size = parameter.numel()
                self.shapes[names[parameter]] = parameter.shape
                rates.append(torch.full((size,), group.lr * group.scale, dtype=self.dtype))
                decays.append(torch.full((size,), group.lr * config.weight_decay * group.decayed, dtype=self.dtype))
                penalized.append(torch.full((size,), float(group.decayed), dtype=self.dtype))
                if uses_muon and group.matrices:
                    by_shape[parameter.shape].append(start)
                    self._muon_size = start + size
                start += size
        self._rates, self._decays, self._penalized = torch.cat(rates), torch.cat(decays), torch.cat(penalized)
        self._matrices, row = [], 0
        for shape, starts in by_shape.items():
            count, height = len(starts), shape[0]
            index = torch.tensor(starts)[:, None] + torch.arange(shape.numel())
            self._matrices.append(_Matrices(shape, index, torch.arange(row, row + count * height).view(count, height)))
            row += count * height
        self.row_count = row

    @property
    def weight_count(self) -> int:
        return len(self._rates)

    def first_state(self) -> State:
        """The state before the first step."""
        weights = self.weights_of(self.model)
        zeros = torch.zeros_like(weights)
        return State(weights, zeros, zeros[self._muon_size :].clone(), zeros.new_zeros(self.row_count))

    def zeros(self) -> State:
        """Derivatives that are all zero."""
        return State(*(torch.zeros_like(tensor) for tensor in self.first_state().tensors()))

    def weights_of(self, model: Transformer) -> Tensor:
        """The weights of a model of the same shape as a vector, (P,)."""
        parameters = dict(model.named_parameters())
        return torch.cat([parameters[name].detach().to(self.dtype).flatten() for name in self.shapes])

    def parameters(self, weights_P: Tensor) -> dict[str, Tensor]:
        """The model's parameters by name, as parts of the vector."""
        parts: Sequence[Tensor] = torch.split(weights_P, [shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def losses(self, weights_P: Tensor, batch: Batch) -> Tensor:
        """The loss of each target as the run minimized it, (B, T); 0 where there is no target."""
        logits = self._logits(weights_P, batch.input_ids, batch.document_ids)
        losses = _cross_entropy(logits, batch.targets, self.objective.label_smoothing)
        if self.objective.z_loss:
            log_z = logits.logsumexp(-1).masked_fill(batch.targets == IGNORE_INDEX, 0)
            losses = losses + self.objective.z_loss * log_z.square()
        return losses

    def text_loss(self, weights_P: Tensor, rows: Sequence[DocumentRows]) -> Tensor:
        """The mean loss of a text's tokens, a scalar in nats."""
        sums = [_cross_entropy(self._logits(weights_P, row.input_ids, None), row.targets).sum() for row in rows]
        return torch.stack(sums).sum() / sum(row.target_count for row in rows)

    def _logits(self, weights_P: Tensor, input_ids: Tensor, document_ids: Tensor | None) -> Tensor:
        arguments = {"document_ids": document_ids}
        return functional_call(self.model, self.parameters(weights_P), (input_ids,), arguments)  # type: ignore[no-any-return]

    def gradient(self, weights_P: Tensor, batch: Batch, document_weights_N: Tensor) -> tuple[Tensor, float]:
        """The gradient of a step's loss, (P,), and the loss."""
        gradient_P, total = torch.zeros_like(weights_P), 0.0
        for part in self._micro_batches(batch):
            theta_P = weights_P.detach().requires_grad_()
            losses = self.losses(theta_P, part) * _of_targets(document_weights_N, part) / batch.target_count
            gradient_P += torch.autograd.grad(losses.sum(), theta_P)[0]
            total += float(losses.detach().sum())
        return gradient_P, total

    def pull_back(
        self, weights_P: Tensor, batch: Batch, document_weights_N: Tensor, directions_QP: Sequence[Tensor]
    ) -> list[tuple[Tensor, Tensor]]:
        """For each direction u: H u, with the Hessian H of the step's loss, (P,), and for each document the product of u and
        the gradient of the step's loss by the document's weight, (N,).

        Both are derivatives of (gradient . u), by the weights and by the documents' weights.
        """
        N = len(document_weights_N)
        results = [(torch.zeros_like(weights_P), document_weights_N.new_zeros(N + 1)) for _ in directions_QP]
        for part in self._micro_batches(batch):
            theta_P = weights_P.detach().requires_grad_()
            w_BT = _of_targets(document_weights_N, part).requires_grad_()
            loss = (self.losses(theta_P, part) * w_BT).sum() / batch.target_count
            gradient_P = torch.autograd.grad(loss, theta_P, create_graph=True)[0]
            documents = torch.where(part.documents == NO_DOCUMENT, N, part.documents).flatten()
            for number, (direction_P, (curved_P, products_N)) in enumerate(zip(directions_QP, results, strict=True)):
                keep = number < len(directions_QP) - 1
                by_theta, by_w = torch.autograd.grad(gradient_P @ direction_P, (theta_P, w_BT), retain_graph=keep)
                curved_P += by_theta
                products_N.index_add_(0, documents, by_w.flatten())
        return [(curved_P, products_N[:N]) for curved_P, products_N in results]

    def _micro_batches(self, batch: Batch) -> Iterator[Batch]:
        size = self._micro_batch_size
        for start in range(0, len(batch.targets), size):
            rows = slice(start, start + size)
            document_ids = None if batch.document_ids is None else batch.document_ids[rows]
            yield Batch(batch.input_ids[rows], batch.targets[rows], document_ids, batch.documents[rows])

    def update(self, state: State, gradient_P: Tensor, step: int) -> State:
        """The state after a step, which is counted from 0, as a differentiable function of the state and the gradient."""
        c, factor, M = self.config, self.run.learning_rate_factor(step), self._muon_size
        theta_P, g_P = state.weights, gradient_P
        if c.gradient_clip:
            g_P = g_P * (c.gradient_clip / (g_P.norm() + 1e-6)).clamp(max=1.0)
        if c.l2:
            g_P = g_P + c.l2 * self._penalized * theta_P
        if c.l1:
            g_P = g_P + c.l1 * self._penalized * theta_P.sign()
        decay_P = factor * self._decays
        before_P = theta_P
        if c.weight_decay and not c.cautious_decay:
            theta_P = theta_P * (1 - decay_P)
        squares, row_squares = state.squares, state.row_squares
        if c.name == "sgd":
            momentum_P = c.momentum * state.momentum + g_P
            change_P = g_P + c.momentum * momentum_P if c.nesterov and c.momentum else momentum_P
        else:
            muon_momentum_M = state.momentum[:M].lerp(g_P[:M], 1 - c.momentum)
            adam_momentum = state.momentum[M:].lerp(g_P[M:], 1 - c.beta1)
            momentum_P = torch.cat([muon_momentum_M, adam_momentum])
            squares = c.beta2 * squares + (1 - c.beta2) * g_P[M:].square()
            roots = squares.clamp(min=SMALLEST_SQUARE).sqrt() / (1 - c.beta2 ** (step + 1)) ** 0.5
            adam_change = adam_momentum / (1 - c.beta1 ** (step + 1)) / (roots + c.eps)
            muon_change_M, row_squares = self._muon(g_P[:M], muon_momentum_M, row_squares)
            change_P = torch.cat([muon_change_M, adam_change])
        theta_P = theta_P - factor * self._rates * change_P
        if c.weight_decay and c.cautious_decay:
            shrinks = (before_P - theta_P) * before_P > 0
            theta_P = theta_P - before_P * shrinks * decay_P
        return State(theta_P, momentum_P, squares, row_squares)

    def _muon(self, g_M: Tensor, momentum_M: Tensor, row_squares_R: Tensor) -> tuple[Tensor, Tensor]:
        """The change of the matrices, (M,), and NorMuon's mean squares."""
        c, changes, means = self.config, torch.zeros_like(g_M), torch.zeros_like(row_squares_R)
        direction_M = g_M.lerp(momentum_M, c.momentum) if c.nesterov and c.momentum else momentum_M
        for matrices in self._matrices:
            n = len(matrices.index)
            updates = orthogonalize(direction_M[matrices.index].view(n, *matrices.shape))
            if c.name == "normuon":
                squares = updates.square().mean(dim=-1)
                rows = row_squares_R[matrices.rows].lerp(squares, 1 - c.row_beta2)
                means = means.index_put((matrices.rows,), rows)
                roots = rows.clamp(min=SMALLEST_SQUARE).sqrt()[..., None]
                normalized = updates / (roots + EPS)
                before, after = (_norm(x) for x in (updates, normalized))
                updates = normalized * (before / (after + EPS))
            scale = max(1.0, matrices.shape[0] / matrices.shape[1]) ** 0.5
            changes = changes.index_put((matrices.index,), scale * updates.flatten(1))
        return changes, means if c.name == "normuon" else row_squares_R

    def pull_back_update(
        self, state: State, gradient_P: Tensor, step: int, adjoints: Sequence[State]
    ) -> list[tuple[State, Tensor]]:
        """For derivatives of each quantity by the state after a step: those by the state before, at a fixed gradient, and by
        the gradient.
        """
        before, g_P = state.with_gradients(), gradient_P.detach().requires_grad_()
        after = self.update(before, g_P, step)
        inputs = (*before.tensors(), g_P)
        outputs = [(number, tensor) for number, tensor in enumerate(after.tensors()) if tensor.requires_grad]
        results = []
        for number, adjoint in enumerate(adjoints):
            directions = [adjoint.tensors()[index] for index, _ in outputs]
            derivatives = torch.autograd.grad(
                [tensor for _, tensor in outputs],
                inputs,
                directions,
                retain_graph=number < len(adjoints) - 1,
                allow_unused=True,
                materialize_grads=True,
            )
            results.append((State(*derivatives[:-1]), derivatives[-1]))
        return results

    def after(self, state: State, step: int, document_weights_N: Tensor) -> tuple[State, float]:
        """The state after a step, which is counted from 0, and the step's loss."""
        batch = self.run.batch(step)
        gradient_P, loss = self.gradient(state.weights, batch, document_weights_N)
        with torch.no_grad():
            return self.update(state, gradient_P, step), loss


def _cross_entropy(logits_BTV: Tensor, targets_BT: Tensor, smoothing: float = 0.0) -> Tensor:
    """The loss of each target, (B, T)."""
    losses = F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction="none", label_smoothing=smoothing)
    return losses.view_as(targets_BT)


def _of_targets(document_weights_N: Tensor, batch: Batch) -> Tensor:
    """The weight of the document of each target, (B, T)."""
    return document_weights_N[batch.documents.clamp(min=0)]


def _norm(x: Tensor) -> Tensor:
    """The norm of each matrix, (n, 1, 1), without the infinite derivative at zero."""
    return x.square().sum(dim=(-2, -1), keepdim=True).clamp(min=SMALLEST_SQUARE).sqrt()
