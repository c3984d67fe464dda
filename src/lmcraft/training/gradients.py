"""The gradients of a step: those of the mean loss of its batch."""

from collections.abc import Iterable
from math import gcd
from typing import NamedTuple, Protocol

import torch

from lmcraft.data.loader import Batch, Dataset
from lmcraft.model.transformer import Transformer
from lmcraft.training.batch import to_device
from lmcraft.training.config import TrainConfig
from lmcraft.training.objective import Objective
from lmcraft.training.prefetch import Prefetcher
from lmcraft.training.processes import Processes


class StepGradients(NamedTuple):
    """What a step says about itself."""

    loss: float
    """Mean over the targets."""
    targets: int
    """That the step learned from, in all processes."""
    positions: int
    """Tokens that it computed, in all processes, with or without a target."""


class GradientSource(Protocol):
    """Where the gradients of a run come from."""

    def compute(self, step: int) -> StepGradients:
        """Set the parameters' gradients to those of a step."""

    def measure(self, batch: Batch) -> None:
        """Add gradients of a micro-batch, to see how long it takes."""

    def finish(self, step: int) -> None:
        """Do what a step does once, after its micro-batches."""


class BatchGradients:
    """Samples `step * batch_size` to `(step + 1) * batch_size` of the training data, in micro-batches.

    Args:
        model: on the device.
        objective: the loss.
        training: the samples, by index.
        config: resolved.
        device: of the model.
        processes: the processes of the run.
    """

    def __init__(
        self,
        model: Transformer,
        objective: Objective,
        training: Dataset,
        config: TrainConfig,
        device: torch.device,
        processes: Processes,
    ) -> None:
        self.model, self.objective, self.training = model, objective, training
        self.device, self.processes, self._seed = device, processes, config.seed
        self._rows = config.batch_size // processes.data_count
        self.micro_batch_size = gcd(self._rows, config.micro_batch_size)
        self._prefetcher = Prefetcher(self.read)

    def compute(self, step: int) -> StepGradients:
        """Set the parameters' gradients to those of a step's mean loss.

        Each micro-batch is divided by the targets of the whole batch, so that the result does not depend on the split.
        """
        micro_batches = self._prefetcher.get(step)
        objective = objective_for(self.objective, self.model, micro_batches, self.device, self.processes)
        self.model.train()
        self.processes.seed_dropout(self._seed, step)
        targets = max(1, count_targets(self.objective, micro_batches, self.processes))
        positions = self.processes.data_count * sum(batch.input_ids.size for batch in micro_batches)
        total = 0.0
        for batch in micro_batches:
            loss = objective.loss(self.model, to_device(batch, self.device)) / targets
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        return StepGradients(self.processes.total(total)[0], targets, positions)

    def measure(self, batch: Batch) -> None:
        """As in `GradientSource`."""
        objective = objective_for(self.objective, self.model, [batch], self.device, self.processes)
        loss = objective.loss(self.model, to_device(batch, self.device)) / max(1, self.objective.count(batch))
        loss.backward()  # type: ignore[no-untyped-call]

    def finish(self, step: int) -> None:
        """As in `GradientSource`: nothing."""

    def read(self, step: int) -> list[Batch]:
        """The micro-batches of this process in a step."""
        first = (step * self.processes.data_count + self.processes.data_rank) * self._rows
        starts = range(first, first + self._rows, self.micro_batch_size)
        return [self.training.batch(range(start, start + self.micro_batch_size)) for start in starts]


def objective_for(
    objective: Objective, model: Transformer, batches: Iterable[Batch], device: torch.device, processes: Processes
) -> Objective:
    """The objective of the step or evaluation that consists of these batches, and those of the other processes."""
    return objective.for_batches(model, (to_device(batch, device) for batch in batches), processes.total)


def count_targets(objective: Objective, batches: Iterable[Batch], processes: Processes) -> int:
    """The number of targets in the batches of all processes."""
    targets = sum(objective.count(batch) for batch in batches) if processes.tensor_rank == 0 else 0
    return int(processes.total(targets)[0])
