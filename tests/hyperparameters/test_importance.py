"""Which settings matter."""

import numpy as np
import pytest

from lmcraft.hyperparameters.importance import MIN_TRIALS, estimate_importance
from lmcraft.hyperparameters.space import Dimension, Space
from lmcraft.hyperparameters.trial import CurvePoint, Kind, State, Trial

SPACE = Space(
    settings={},
    dimensions=[
        Dimension(name="a.rate", kind="float", low=1e-4, high=1.0, log=True),
        Dimension(name="a.size", kind="int", low=1, high=8),
        Dimension(name="a.kind", kind="categorical", choices=["x", "y", "z"]),
        Dimension(name="a.noise", kind="float", low=0, high=1),
        Dimension(name="a.part", kind="float", low=0, high=1, when={"a.kind": ["y"]}),
    ],
)


def make_trials(count: int, seed: int = 0, weights: tuple[float, ...] = (4, 1, 0.5, 0, 0)) -> list[Trial]:
    rng = np.random.default_rng(seed)
    trials = []
    for number in range(count):
        point = SPACE.from_unit(rng.random(5))
        effects = [
            (np.log10(float(point["a.rate"])) + 2) ** 2 / 4,
            float(point["a.size"]) / 8,
            "xyz".index(str(point["a.kind"])) / 2,
            float(point["a.noise"]),
            float(point.get("a.part", 0.5)),
        ]
        value = float(np.dot(weights, effects)) + 0.02 * rng.normal()
        trials.append(Trial(number=number, point=point, state=State.COMPLETE, step=30, values={"loss": value}))
    return trials


def test_settings_are_in_the_order_of_their_effects() -> None:
    result = estimate_importance(SPACE, make_trials(60), "loss", 1)
    assert list(result.settings)[:3] == ["a.rate", "a.size", "a.kind"] and not result.warning
    assert result.explained.value > 0.8 and result.settings["a.noise"].value < 0.05
    assert sum(share.value for share in result.settings.values()) == pytest.approx(result.explained.value)
    assert all(share.low is not None and share.high is not None for share in result.settings.values())


def test_maximizing_the_negative_is_the_same() -> None:
    trials = make_trials(30)
    negative = [Trial(number=t.number, point=t.point, state=t.state, values={"loss": -t.values["loss"]}) for t in trials]
    assert estimate_importance(SPACE, trials, "loss", 1) == estimate_importance(SPACE, negative, "loss", -1)


def test_noise_explains_nothing_and_has_a_warning() -> None:
    shares = [estimate_importance(SPACE, make_trials(40, seed, (0, 0, 0, 0, 0)), "loss", 1) for seed in range(5)]
    assert np.mean([share.explained.value for share in shares]) < 0.1
    assert sum("not told from noise" in share.warning for share in shares) >= 4


def test_a_setting_of_some_points_counts_where_it_is_set() -> None:
    result = estimate_importance(SPACE, make_trials(120, weights=(0, 0, 0, 0, 4)), "loss", 1)
    assert next(iter(result.settings)) == "a.part" and result.settings["a.part"].value > 0.3


def test_few_trials_are_warned_of() -> None:
    few = estimate_importance(SPACE, make_trials(MIN_TRIALS - 1), "loss", 1)
    assert not few.settings and "Too few trials" in few.warning
    some = estimate_importance(SPACE, make_trials(MIN_TRIALS), "loss", 1)
    assert some.settings and "8 trials are few for 5 settings" in some.warning
    same = [Trial(number=n, point={"a.rate": n + 1.0}, state=State.COMPLETE, values={"loss": 1.0}) for n in range(9)]
    assert "the same loss" in estimate_importance(SPACE, same, "loss", 1).warning


def test_trials_that_stopped_early_rank_below_longer_ones_and_failures_are_left_out() -> None:
    trials = [
        Trial(
            number=n,
            point={"a.rate": 10 ** -(n / 5)},
            state=State.COMPLETE if n < 10 else State.PAUSED,
            values={"loss": 9.0 - n / 100} if n < 10 else {},
            curve=[CurvePoint(10, {"loss": 5.0 + n / 100})],  # lower than that of the complete ones
        )
        for n in range(20)
    ]
    others = [
        Trial(number=20, point={"a.rate": 1.0}, state=State.FAILED),
        Trial(number=21, point={"a.rate": 1.0}, state=State.COMPLETE, kind=Kind.CONFIRMATION, values={"loss": 99.0}),
    ]
    result = estimate_importance(SPACE, trials + others, "loss", 1)
    assert result.trials == 20 and result.explained.value > 0.6
