"""A private step: sampling, noise and secret, and what it adds up to."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from lmcraft.data.loader import Batch, Sample
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.training.dp.clipping import GhostClipper
from lmcraft.training.dp.gradients import PrivateGradients
from lmcraft.training.dp.mechanism import Mechanism
from lmcraft.training.dp.noise import GaussianNoise
from lmcraft.training.dp.sampling import PoissonSampler
from lmcraft.training.dp.secret import Secret, forget_secret, secret_file
from lmcraft.training.dp.units import stack_rows
from lmcraft.training.objective import NextToken
from tests.tiny import tiny_model

SECRET = Secret(bytes(range(32)))


class RandomUnits:
    """Rows of random tokens."""

    sequence_length, mean_length = 16, 16.0

    def __len__(self) -> int:
        return 40

    def row(self, number: int, draw: int) -> Sample:
        tokens = np.random.default_rng(number).integers(0, 96, 17)
        return Sample(tokens[:-1], tokens[1:], np.zeros(16, np.int64))

    def batch(self, indices: Sequence[int]) -> Batch:
        return stack_rows([self.row(index, 0) for index in indices], 16)

    def ordered(self) -> Iterator[Sample]:
        return (self.row(number, 0) for number in range(len(self)))

    def fingerprint(self) -> str:
        return ""


def mechanism(noise: float, max_rows: int = 40) -> Mechanism:
    return Mechanism(
        unit="document",
        units=40,
        batch_size=8,
        noise_multiplier=noise,
        max_grad_norm=0.5,
        max_rows=max_rows,
        target_epsilon=8.0,
        delta=1e-5,
        truncation_delta=0.0,
        accountant="rdp",
    )


def step(noise: float = 1.0, tokens: int = 64, **settings: int) -> tuple[PrivateGradients, dict[str, torch.Tensor]]:
    model = tiny_model()
    clipper = GhostClipper(model, NextToken(), 0.5)
    source = PrivateGradients(clipper, RandomUnits(), mechanism(noise, **settings), SECRET, tokens=tokens)
    source.compute(3)
    return source, {name: p.grad.clone() for name, p in source.weights.items() if p.grad is not None}


def test_a_step_is_the_sum_of_clipped_gradients_and_noise() -> None:
    source, noised = step()
    _, exact = step(noise=1e-9)
    total = sum(float(g.square().sum()) for g in exact.values()) ** 0.5
    assert 0.01 < total <= 0.5 * len(source.sampler.draw(3)) / 8
    noise = torch.cat([(noised[name] - exact[name]).flatten() for name in exact]) * 8 / 0.5
    assert float(noise.mean()) == pytest.approx(0, abs=4 / len(noise) ** 0.5)
    assert float(noise.std()) == pytest.approx(1, abs=3 / len(noise) ** 0.5)


def test_micro_batches_change_nothing() -> None:
    (_, one), (_, other) = step(noise=1e-9), step(noise=1e-9, tokens=1024)
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


def test_a_step_without_units_is_pure_noise() -> None:
    source, _ = step(max_rows=0)
    source.noise = GaussianNoise(source.weights, 1e-9, SECRET)
    assert source.compute(5).loss == 0
    assert all(float(p.grad.abs().max()) < 1e-8 for p in source.weights.values() if p.grad is not None)


def test_each_unit_is_drawn_independently() -> None:
    sampler = PoissonSampler(50, 0.2, 50, SECRET)
    draws = [sampler.draw(n) for n in range(2000)]
    counts = np.array([len(draw) for draw in draws])
    assert all((np.diff(draw) > 0).all() for draw in draws)
    assert counts.mean() == pytest.approx(10, abs=0.3) and counts.var() == pytest.approx(8, abs=1)
    each = np.bincount(np.concatenate(draws), minlength=50) / 2000
    assert each.min() > 0.16 and each.max() < 0.24
    together = np.mean([{3, 4} <= {*draw.tolist()} for draw in draws])
    assert together == pytest.approx(0.04, abs=0.015)
    truncated = PoissonSampler(50, 0.2, 7, SECRET)
    assert max(len(truncated.draw(n)) for n in range(50)) == 7


def test_noise_depends_on_the_secret_the_step_and_the_weight_only(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {name: torch.zeros(300_000) for name in ("a", "b")}

    def drawn(secret: Secret = SECRET, step: int = 1, purpose: str = "") -> list[torch.Tensor]:
        for weight in weights.values():
            weight.grad = torch.zeros_like(weight)
        GaussianNoise(weights, 2.0, secret, purpose).add(step)
        return [weight.grad for weight in weights.values() if weight.grad is not None]

    one = drawn()
    assert float(one[0].std()) == pytest.approx(2, rel=0.01)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    assert all(map(torch.equal, one, drawn()))
    others = [one[1], drawn(step=2)[0], drawn(Secret())[0], drawn(purpose="x")[0]]
    for other in others:
        assert abs(float(torch.corrcoef(torch.stack([one[0], other]))[0, 1])) < 0.01


def test_the_secret_is_private_and_forgotten(tmp_path: Path) -> None:
    run = ModelFolder(tmp_path)
    secret = Secret()
    assert secret != Secret() and secret.key.hex() not in repr(secret)
    secret.save(run)
    secret.save(run)
    assert secret_file(run).stat().st_mode & 0o777 == 0o600 and Secret.load(run) == secret
    assert secret.generator("a", 1).random() != secret.generator("a1").random()
    forget_secret(run)
    forget_secret(run)
    with pytest.raises(UserError, match="is gone"):
        Secret.load(run)
