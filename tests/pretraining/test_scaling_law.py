"""The scaling law: known coefficients are recovered, and the interval has its coverage."""

import numpy as np
import pytest

from lmcraft.pretraining import scaling_law
from lmcraft.pretraining.scaling_law import Point, ScalingLaw, fit_scaling_law

LAW = ScalingLaw(E=1.8, A=40.0, alpha=0.3, B=250.0, beta=0.35)
SIZES = (20_000, 66_000, 133_000, 280_000)
NEXT = (519_000, 10_380_000)


def points_of(law: ScalingLaw, noise: float = 0.0, seed: int = 0) -> list[Point]:
    """A family that follows the law, with a random relative error of each loss."""
    random = np.random.default_rng(seed)
    runs = [(depth, size, times * size) for depth, size in enumerate(SIZES, 1) for times in (5, 10, 20)]
    return [Point(d, N, 0, D, law.loss(N, D) * float(np.exp(random.normal(0, noise)))) for d, N, D in runs]


@pytest.fixture
def fast_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling_law, "REPLICATES", 50)


@pytest.mark.parametrize("law", [LAW, ScalingLaw(1.69, 406.4, 0.34, 410.7, 0.28), ScalingLaw(0.5, 5.0, 0.1, 5000.0, 0.7)])
def test_known_coefficients_are_recovered(law: ScalingLaw, fast_fit: None) -> None:
    fit = fit_scaling_law(points_of(law))
    for name in ("E", "A", "alpha", "B", "beta"):
        assert getattr(fit.law, name) == pytest.approx(getattr(law, name), rel=1e-4), name
    prediction = fit.predict(*NEXT)
    assert (
        prediction.loss == pytest.approx(law.loss(*NEXT), rel=1e-6) and prediction.low <= prediction.loss <= prediction.high
    )


def test_an_outlier_hardly_moves_the_law(fast_fit: None) -> None:
    points = points_of(LAW, noise=0.001)
    points[4] = Point(**(vars(points[4]) | {"loss": 1.2 * points[4].loss}))
    assert fit_scaling_law(points).predict(*NEXT).loss == pytest.approx(LAW.loss(*NEXT), rel=0.01)


@pytest.mark.slow
def test_the_interval_has_its_coverage(fast_fit: None) -> None:
    covered = 0
    for seed in range(10):
        prediction = fit_scaling_law(points_of(LAW, noise=0.005, seed=seed)).predict(*NEXT)
        loss = LAW.loss(*NEXT) * float(np.exp(np.random.default_rng(100 + seed).normal(0, 0.005)))
        covered += prediction.low <= loss <= prediction.high
        assert prediction.high - prediction.low < 0.1 * prediction.loss
    assert covered >= 8


def test_the_optimum_of_a_budget_has_the_lowest_loss() -> None:
    flops = 1e15
    parameters, tokens = LAW.optimal(flops)
    assert 6 * parameters * tokens == pytest.approx(flops)
    losses = [LAW.loss(parameters * factor, tokens / factor) for factor in np.geomspace(0.1, 10, 101)]
    assert np.argmin(losses) == 50
