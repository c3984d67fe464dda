"""The gradients of a private step: sampling, clipping and noise. Each part can be replaced, which audits do."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lmcraft.data.loader import Batch
from lmcraft.training.batch import TensorBatch, to_device
from lmcraft.training.dp.clipping import ClippedRows, GhostClipper
from lmcraft.training.dp.mechanism import Mechanism
from lmcraft.training.dp.noise import GaussianNoise
from lmcraft.training.dp.sampling import PoissonSampler
from lmcraft.training.dp.secret import Secret
from lmcraft.training.dp.units import Units, micro_batches
from lmcraft.training.gradients import StepGradients
from lmcraft.training.prefetch import Prefetcher

MAX_DRAW = 2**63


class Sampler(Protocol):
    """Says which units a step reads."""

    def draw(self, step: int) -> NDArray[np.int64]:
        """The numbers of the units."""


class Clipper(Protocol):
    """Adds the clipped gradients of rows."""

    def add_clipped(self, batch: TensorBatch) -> ClippedRows:
        """Add the sum of the rows' clipped gradients to the gradients of the weights."""


class Noise(Protocol):
    """Adds noise."""

    def add(self, step: int) -> None:
        """Add the noise of a step to the gradients of the weights."""


class PrivateGradients:
    """(The sum of the clipped gradients of the units of a step + noise) / batch_size (arXiv 1607.00133, algorithm 1).

    Args:
        clipper: of the model whose weights are trained.
        units: the training data.
        mechanism: of the run.
        secret: decides which units a step reads, which part of each, and the noise.
        tokens: of a micro-batch at most, with padding.
        purpose: what else the noise depends on.
    """

    def __init__(
        self,
        clipper: GhostClipper,
        units: Units,
        mechanism: Mechanism,
        secret: Secret,
        *,
        tokens: int,
        purpose: str = "",
    ) -> None:
        self.model, self.units, self.mechanism, self.secret, self.tokens = clipper.model, units, mechanism, secret, tokens
        self.sampler: Sampler = PoissonSampler(mechanism.units, mechanism.sampling_rate, mechanism.max_rows, secret)
        self.clipper: Clipper = clipper
        self.weights = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.noise: Noise = GaussianNoise(self.weights, mechanism.noise_std, secret, purpose)
        self._prefetcher = Prefetcher(self._read)

    def compute(self, step: int) -> StepGradients:
        """Set the parameters' gradients to those of a step. The numbers of tokens are those of a step on average, since
        the true ones are not private."""
        batches = self._prefetcher.get(step)
        self.model.train()
        torch.manual_seed(int(self.secret.generator("dropout", step).integers(MAX_DRAW)))
        for weight in self.weights.values():
            weight.grad = torch.zeros_like(weight)
        losses = [self.clipper.add_clipped(to_device(batch, self.model.device)).losses for batch in batches]
        self.finish(step)
        loss = float(torch.stack(losses).sum()) if losses else 0.0
        tokens = round(self.mechanism.batch_size * self.units.mean_length)
        return StepGradients(loss, tokens, tokens)

    def measure(self, batch: Batch) -> None:
        """As in `lmcraft.training.gradients.GradientSource`."""
        self.clipper.add_clipped(to_device(batch, self.model.device))

    def finish(self, step: int) -> None:
        """Add the noise of a step to the sum of the clipped gradients, and divide it by the batch size."""
        self.noise.add(step)
        for weight in self.weights.values():
            assert weight.grad is not None
            weight.grad /= self.mechanism.batch_size

    def _read(self, step: int) -> list[Batch]:
        draws = self.secret.generator("rows", step)
        rows = [self.units.row(int(number), int(draws.integers(MAX_DRAW))) for number in self.sampler.draw(step)]
        return micro_batches(rows, self.tokens, self.units.sequence_length)
