"""A private step on a tiny model, and ways to break it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lmcraft.audits.privacy.mechanism import MechanismAudit, audit_mechanism
from lmcraft.audits.privacy.results import PrivacyAudit
from lmcraft.data.loader import TokenSplit
from lmcraft.training.dp.clipping import GhostClipper
from lmcraft.training.dp.gradients import PrivateGradients
from lmcraft.training.dp.mechanism import Mechanism
from lmcraft.training.dp.noise import GaussianNoise
from lmcraft.training.dp.sampling import PoissonSampler
from lmcraft.training.dp.secret import Secret
from lmcraft.training.dp.units import DocumentUnits
from lmcraft.training.objective import NextToken
from tests.tiny import tiny_model

STEPS = 60


def private_step(data: Path, seed: int = 0) -> PrivateGradients:
    units = DocumentUnits(TokenSplit(data, "train"), 16, None)
    mechanism = Mechanism(
        unit="document",
        units=len(units),
        batch_size=6,
        noise_multiplier=0.9,
        max_grad_norm=1.0,
        max_rows=len(units),
        target_epsilon=8.0,
        delta=1e-4,
        truncation_delta=0.0,
        accountant="prv",
    )
    model = tiny_model(seed, hidden_size=16, intermediate_size=24, num_attention_heads=2, num_key_value_heads=1)
    clipper = GhostClipper(model, NextToken(), mechanism.max_grad_norm)
    return PrivateGradients(clipper, units, mechanism, Secret(bytes([seed]) * 32), tokens=256)


def audit(source: PrivateGradients, seed: int = 0) -> tuple[MechanismAudit, PrivacyAudit]:
    claim = source.mechanism.guarantee(STEPS)
    found = audit_mechanism(source, claim, seconds=20.0, seed=seed)
    return found, PrivacyAudit("model", "", claim, 0.95, bounds=found.bounds, checks=found.checks)


def without_clipping(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(GhostClipper, "factors", lambda self, norms: torch.ones_like(norms))


def with_short_norms(patch: pytest.MonkeyPatch) -> None:
    factors = GhostClipper.factors
    patch.setattr(GhostClipper, "factors", lambda self, norms: factors(self, 0.95 * norms))


def with_a_higher_rate(patch: pytest.MonkeyPatch) -> None:
    draw = PoissonSampler.draw
    patch.setattr(PoissonSampler, "draw", lambda self, step: draw(replace(self, rate=1.1 * self.rate), step))


def with_a_frequent_unit(patch: pytest.MonkeyPatch) -> None:
    draw = PoissonSampler.draw

    def draw_first(self: PoissonSampler, step: int) -> NDArray[np.int64]:
        return np.union1d(draw(self, step), [0]) if step % 4 == 0 else draw(self, step)

    patch.setattr(PoissonSampler, "draw", draw_first)


def with_shuffled_epochs(patch: pytest.MonkeyPatch) -> None:
    def draw_part(self: PoissonSampler, step: int) -> NDArray[np.int64]:
        size = round(self.units * self.rate)
        epoch, part = divmod(step, self.units // size)
        order = self.secret.generator("epoch", epoch).permutation(self.units)
        return np.sort(order[part * size : (part + 1) * size])

    patch.setattr(PoissonSampler, "draw", draw_part)


def with_little_noise(patch: pytest.MonkeyPatch) -> None:
    add = GaussianNoise.add
    patch.setattr(GaussianNoise, "add", lambda self, step: add(replace(self, std=0.95 * self.std), step))


def with_a_quiet_weight(patch: pytest.MonkeyPatch) -> None:
    add = GaussianNoise.add

    def add_to_most(self: GaussianNoise, step: int) -> None:
        name = next(iter(self.weights))
        kept = self.weights[name].grad
        assert kept is not None
        before = kept.clone()
        add(self, step)
        kept.copy_(before)

    patch.setattr(GaussianNoise, "add", add_to_most)


def with_equal_noise(patch: pytest.MonkeyPatch) -> None:
    add = GaussianNoise.add
    patch.setattr(GaussianNoise, "add", lambda self, step: add(self, 0))


BREAKS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "no clipping": without_clipping,
    "norms too short": with_short_norms,
    "sampling rate too high": with_a_higher_rate,
    "one unit too often": with_a_frequent_unit,
    "shuffled, not drawn": with_shuffled_epochs,
    "too little noise": with_little_noise,
    "a weight without noise": with_a_quiet_weight,
    "the same noise again": with_equal_noise,
}
