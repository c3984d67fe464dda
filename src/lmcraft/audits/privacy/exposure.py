"""Exposure: how far the secrets of canaries stand out from tokens that the model never read (Carlini et al., 2019).

Shapes: N canaries, R candidates, V vocabulary.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import numpy as np
import torch

from lmcraft.data.canaries import Canaries
from lmcraft.model.transformer import Transformer
from lmcraft.statistics.intervals import Floats, Metric, mean_interval

PREFIXES_PER_BATCH = 256


@dataclass(frozen=True)
class CanaryScores:
    """What a model says of the secrets of canaries after their prefixes."""

    scores: Floats
    """Log-probability of each secret, less the mean of those of the candidates, (N,)."""
    exposures: Floats
    """log2(R + 1) - log2(rank of the secret among itself and the candidates), (N,), in bits; ties count as the mean."""
    candidates: int
    """R."""

    @property
    def largest(self) -> float:
        """The exposure of a secret that is more likely than all candidates."""
        return log2(self.candidates + 1)

    @property
    def by_chance(self) -> float:
        """The mean exposure of secrets that the model has not read."""
        return self.largest - float(np.log2(np.arange(1, self.candidates + 2)).mean())


@dataclass(frozen=True)
class ExposureLevel:
    """The canaries that training read about equally often."""

    first: int
    """The least number of times; 0: not at all."""
    last: int
    """The largest."""
    exposure: Metric
    """In bits."""
    count: int


def score_canaries(model: Transformer, canaries: Canaries) -> CanaryScores:
    """Score the secrets of all canaries, in the data or not."""
    before = [] if canaries.end is None else [canaries.end]
    candidates = torch.tensor(canaries.candidates, device=model.device)
    scores, exposures = [], []
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(canaries.items), PREFIXES_PER_BATCH):
            items = canaries.items[start : start + PREFIXES_PER_BATCH]
            ids = torch.tensor([[*before, *item.prefix] for item in items], device=model.device)
            logprobs_NV = model(ids, last_only=True)[:, 0].double().log_softmax(dim=-1)
            secrets_N1 = logprobs_NV.gather(1, torch.tensor([[item.secret] for item in items], device=model.device))
            others_NR = logprobs_NV[:, candidates]
            better_N = (others_NR > secrets_N1).sum(dim=1) + (others_NR == secrets_N1).sum(dim=1) / 2
            scores.append((secrets_N1 - others_NR.mean(dim=1, keepdim=True)).squeeze(1))
            exposures.append(log2(len(candidates) + 1) - (better_N.double() + 1).log2())
    model.train(was_training)
    return CanaryScores(torch.cat(scores).cpu().numpy(), torch.cat(exposures).cpu().numpy(), len(candidates))


def exposure_by_repetitions(scores: CanaryScores, times: Sequence[int]) -> list[ExposureLevel]:
    """The mean exposure of the canaries by how often training read them: 0, 1, 2 to 3, 4 to 7 times, and so on.

    Args:
        scores: of the canaries.
        times: how often training read each, (N,).
    """
    levels: dict[int, list[float]] = defaultdict(list)
    for count, exposure in zip(times, scores.exposures.tolist(), strict=True):
        levels[count.bit_length()].append(exposure)
    return [
        ExposureLevel(1 << bits >> 1, (1 << bits) - 1, mean_interval(values), len(values))
        for bits, values in sorted(levels.items())
    ]
