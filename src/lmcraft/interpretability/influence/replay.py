"""The influence of documents on the weights of a run, exactly: the derivative goes back through all steps.

With weights w_d of the documents in the training loss (`step`), the final weights are a function of w, and so is the loss f
of a text under them. MAGIC (arXiv 2504.16430) computes df/dw by reverse-mode differentiation of the whole run, as REPLAY
does for other settings (arXiv 2503.13751, section 3): the states of all steps are computed again from some that are kept,
and the derivative by the state goes back from the last step to the first. -df/dw_d predicts by how much the loss of the
text would rise without the document.

Each step adds, with u the derivative by the step's gradient, (gradient of the document's loss) . u to df/dw_d.

Shapes: P weights, N documents, Q measured quantities.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, isfinite, sqrt
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lmcraft.data.document_numbers import NO_DOCUMENT
from lmcraft.errors import UserError
from lmcraft.folder import atomic_write
from lmcraft.interpretability.influence.step import State, TrainingStep

Measure = Callable[[Tensor], Tensor]
"""Of the model's weights, (P,): a scalar, such as the loss of a text."""
Report = Callable[[int, int], object]
"""Called with the work that is done and all of it, in steps."""
MAX_LOSS_DIFFERENCES = {"fp32": 1e-5, "bf16": 1e-2}
"""Between the first loss of the run, in its precision, and that of its replay, as a share: rounding errors stay below."""


@dataclass(frozen=True)
class Replay:
    """The result of going forth and back through a run."""

    weights: Tensor
    """(P,) after the last step."""
    values: Sequence[float]
    """(Q,) the measured quantities."""
    derivatives: Tensor
    """(Q, N) of the quantities by the weights of the documents."""


class Trajectory:
    """The states of a run, of which every `stride`-th is kept on disk."""

    def __init__(self, step: TrainingStep, folder: Path) -> None:
        """Keep states in `folder`, which may hold some of an earlier, interrupted replay of the same run."""
        self.step, self.folder, self.steps = step, folder, step.run.steps
        self.stride = stride_of(self.steps)
        self.document_weights = torch.ones(step.run.document_count, dtype=step.dtype)
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, report: Report = lambda done, total: None) -> State:
        """Compute the state after the last step, and keep some on the way.

        Raises:
            UserError: the first loss is not that of the run, so its steps cannot be computed again here.
        """
        kept = [start for start in range(0, self.steps, self.stride) if self._file(start).is_file()]
        start = kept[-1] if kept else 0
        state = self.state_at(start) if kept else self.step.first_state()
        for number in range(start, self.steps):
            if number % self.stride == 0:
                self._keep(number, state)
            state, loss = self.step.after(state, number, self.document_weights)
            if number == 0:
                self._check(loss)
            report(number + 1, self.steps)
        return state

    def _check(self, loss: float) -> None:
        logged, allowed = self.step.run.losses[0], MAX_LOSS_DIFFERENCES.get(self.step.run.config.precision, 1e-2)
        if isfinite(logged) and abs(loss - logged) > allowed * abs(logged):
            raise UserError(
                f"the first step of '{self.step.run.folder.path}' has a loss of {loss:.4f} here and had {logged:.4f} in the "
                "run, whose initial weights another kind of device or another version drew: it cannot be replayed"
            )

    def segment(self, start: int) -> list[tuple[State, Tensor]]:
        """The states before the steps from `start`, a multiple of the stride, to the next multiple or the end, and the
        gradients there, (P,).
        """
        state, pairs = self.state_at(start), list[tuple[State, Tensor]]()
        for number in range(start, min(start + self.stride, self.steps)):
            batch = self.step.run.batch(number)
            gradient_P, _ = self.step.gradient(state.weights, batch, self.document_weights)
            pairs.append((state, gradient_P))
            with torch.no_grad():
                state = self.step.update(state, gradient_P, number)
        return pairs

    def retrain(self, document_weights_N: Tensor, report: Report = lambda done, total: None) -> Tensor:
        """The weights after the last step, (P,), with other weights of the documents; `run` must have been called.

        It begins before the first step that these weights change.
        """
        changed = self.first_steps[document_weights_N != 1]
        first = min(self.steps - 1, int(changed.min())) if len(changed) else self.steps - 1
        start = first - first % self.stride
        state = self.state_at(start)
        for number in range(start, self.steps):
            state, _ = self.step.after(state, number, document_weights_N)
            report(number + 1 - start, self.steps - start)
        return state.weights

    @cached_property
    def first_steps(self) -> Tensor:
        """The step that reads each document first, (N,); the number of steps if none does."""
        firsts = torch.full((len(self.document_weights),), self.steps)
        for number in reversed(range(self.steps)):
            documents = self.step.run.batch(number).documents
            firsts[documents[documents != NO_DOCUMENT]] = number
        return firsts

    def state_at(self, number: int) -> State:
        """The state before a step that is a multiple of the stride.

        Raises:
            UserError: its file is damaged.
        """
        file = self._file(number)
        try:
            return State(**load_file(file))
        except (SafetensorError, TypeError) as error:
            raise UserError(f"'{file}' is damaged: remove it, and run the same command again") from error

    def _keep(self, number: int, state: State) -> None:
        _save(self._file(number), state.as_dict())

    def _file(self, number: int) -> Path:
        return self.folder / f"state-{number:06d}.safetensors"


def replay(
    trajectory: Trajectory,
    measures: Sequence[Measure],
    report: Report = lambda done, total: None,
    *,
    key: str = "",
) -> Replay:
    """The derivatives of quantities of the final weights by the weights of the documents.

    What is computed so far is kept in the trajectory's folder, from which an interrupted replay goes on.

    Args:
        trajectory: of the run.
        measures: the quantities.
        report: of the progress.
        key: names the quantities in the folder; empty: the way back is not kept.

    Raises:
        UserError: the steps of the run cannot be computed again here.
        OSError: the folder cannot be written.
    """
    step = trajectory.step
    total = 2 * step.run.steps  # forth and back
    final = trajectory.run(lambda done, _: report(done, total))
    values, adjoints = _measure(step, final, measures)
    progress = trajectory.folder / f"back-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    starts = list(range(0, step.run.steps, trajectory.stride))
    derivatives_QN = torch.zeros(len(measures), step.run.document_count, dtype=step.dtype)
    if progress.is_file() and key:
        starts, adjoints, derivatives_QN = _load_progress(progress, starts)
    while starts:
        start = starts.pop()
        pairs = trajectory.segment(start)
        for number in reversed(range(start, start + len(pairs))):
            adjoints = _step_back(trajectory, pairs.pop(), number, adjoints, derivatives_QN)
            report(total - number, total)
        if key:
            _save_progress(progress, len(starts), adjoints, derivatives_QN)
    return Replay(final.weights, values, derivatives_QN)


def stride_of(steps: int) -> int:
    """Every how many steps a state is kept: so that as many are kept on disk as are in memory at a time."""
    return max(1, ceil(sqrt(steps)))


def _measure(step: TrainingStep, final: State, measures: Sequence[Measure]) -> tuple[list[float], list[State]]:
    """The quantities, and their derivatives by the final state."""
    values, adjoints = [], []
    for measure in measures:
        weights_P = final.weights.detach().requires_grad_()
        value = measure(weights_P)
        values.append(float(value.detach()))
        zeros = step.zeros()
        adjoints.append(State(torch.autograd.grad(value, weights_P)[0], zeros.momentum, zeros.squares, zeros.row_squares))
    return values, adjoints


def _step_back(
    trajectory: Trajectory, pair: tuple[State, Tensor], number: int, adjoints: Sequence[State], derivatives_QN: Tensor
) -> list[State]:
    """The derivatives by the state before a step; adds the step's part to those by the weights of documents."""
    step, (state, gradient_P) = trajectory.step, pair
    back = step.pull_back_update(state, gradient_P, number, adjoints)
    directions = [by_gradient_P for _, by_gradient_P in back]
    products = step.pull_back(state.weights, step.run.batch(number), trajectory.document_weights, directions)
    before = []
    for row, ((adjoint, _), (curved_P, products_N)) in enumerate(zip(back, products, strict=True)):
        derivatives_QN[row] += products_N
        before.append(State(adjoint.weights + curved_P, adjoint.momentum, adjoint.squares, adjoint.row_squares))
    return before


def _save_progress(file: Path, left: int, adjoints: Sequence[State], derivatives_QN: Tensor) -> None:
    tensors = {f"{row}.{name}": tensor for row, state in enumerate(adjoints) for name, tensor in state.as_dict().items()}
    _save(file, tensors | {"derivatives": derivatives_QN, "left": torch.tensor(left)})


def _load_progress(file: Path, starts: list[int]) -> tuple[list[int], list[State], Tensor]:
    tensors = load_file(file)
    derivatives_QN, left = tensors.pop("derivatives"), int(tensors.pop("left"))
    states: list[dict[str, Tensor]] = [{} for _ in derivatives_QN]
    for name, tensor in tensors.items():
        row, _, entry = name.partition(".")
        states[int(row)][entry] = tensor
    return starts[:left], [State(**entries) for entries in states], derivatives_QN


def _save(file: Path, tensors: dict[str, Tensor]) -> None:
    with atomic_write(file) as temporary:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, temporary)
