"""The noise of a step, which follows from the secret and the step alone."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lmcraft.training.dp.secret import Secret

CHUNK = 2**18  # numbers of one generator: chunks are drawn at the same time, in any number of threads


@dataclass(frozen=True)
class GaussianNoise:
    """Adds independent normal numbers to the gradients of weights.

    They are drawn on the CPU, so that they are the same on every device.
    """

    weights: Mapping[str, Tensor]
    """By name."""
    std: float
    secret: Secret
    purpose: str = ""
    """What else the numbers depend on."""

    def add(self, step: int) -> None:
        """Add the noise of a step to the gradient of each weight."""
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            for name, weight in self.weights.items():
                assert weight.grad is not None
                normal = torch.empty(weight.numel())
                chunks = normal.numpy().reshape(-1)

                def fill(start: int, name: str = name, chunks: np.ndarray = chunks) -> None:
                    generator = self.secret.generator("noise", self.purpose, step, name, start)
                    generator.standard_normal(out=chunks[start : start + CHUNK], dtype=np.float32)

                list(threads.map(fill, range(0, len(chunks), CHUNK)))
                weight.grad.add_(normal.view_as(weight).to(weight.grad), alpha=self.std)
