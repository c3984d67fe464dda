import math
from collections import Counter
from dataclasses import replace

import pytest

from lmcraft.hyperparameters.promotion import Promoter, create_promoter, predict, rungs_of
from lmcraft.hyperparameters.trial import CurvePoint, State, Trial
from tests.hyperparameters.spaces import SIGNS, paused

ASHA = Promoter(SIGNS, (1, 3, 9))


@pytest.mark.parametrize(
    ("max_steps", "min_steps", "factor", "rungs"),
    [
        (300, 0, 3, (100, 300)),
        (64, 0, 4, (16, 64)),
        (900, 100, 3, (100, 300, 900)),
        (310, 100, 3, (100, 310)),
        (64, 4, 2, (4, 8, 16, 32, 64)),
        (64, 4, 4, (4, 16, 64)),
        (100, 100, 3, (100,)),
        (100, 500, 3, (100,)),
        (1, 0, 3, (1,)),
    ],
)
def test_rungs(max_steps: int, min_steps: int, factor: int, rungs: tuple[int, ...]) -> None:
    assert rungs_of(max_steps, min_steps, factor) == rungs


def test_without_promotion_every_trial_trains_to_its_end() -> None:
    promoter = create_promoter("none", SIGNS, 300)
    assert promoter.first_target(promoter.bracket_of(5)) == 0 and promoter.choose([]) is None


def test_asha_promotes_the_best_third_of_a_rung() -> None:
    """Of the losses 5, 4, 3 at the first rung, 3 goes on; with six trials, the second best does, too."""
    trials = [paused(0, 1, 5.0), paused(1, 1, 4.0)]
    assert ASHA.choose(trials) is None
    trials.append(paused(2, 1, 3.0))
    assert ASHA.choose(trials) == (trials[2], 3)
    trials[2] = replace(trials[2], target_step=3, state=State.RUNNING)
    assert ASHA.choose(trials) is None
    trials += [paused(3, 1, 6.0), paused(4, 1, 7.0), paused(5, 1, 3.5)]
    assert ASHA.choose(trials) == (trials[5], 3)


def at_second_rung(number: int, first: float, second: float) -> Trial:
    curve = (CurvePoint(1, {"loss": first}), CurvePoint(3, {"loss": second}))
    return replace(paused(number, 3, second), curve=curve)


def test_asha_prefers_the_highest_rung_and_the_last_is_the_end() -> None:
    trials = [at_second_rung(0, 3.0, 2.0), at_second_rung(1, 2.9, 2.2), at_second_rung(2, 2.8, 2.1)]
    trials += [paused(number, 1, number / 10) for number in (20, 21, 22)]
    assert ASHA.choose(trials) == (trials[0], 0)
    trials[0] = replace(trials[0], state=State.COMPLETE, target_step=0)
    assert ASHA.choose(trials) == (trials[3], 3), "a third of the six at the first rung, one of which is not promoted yet"


def test_a_trial_that_failed_does_not_count() -> None:
    failed = replace(paused(0, 1, 1.0), state=State.FAILED)
    assert ASHA.choose([failed, paused(1, 1, 2.0), paused(2, 1, 3.0)]) is None
    diverged = [paused(0, 1, math.nan), paused(1, 1, 2.0), paused(2, 1, math.inf)]
    assert ASHA.choose(diverged) == (diverged[1], 3)


def test_at_the_end_two_trials_are_trained_to_the_end() -> None:
    trials = [paused(0, 1, 5.0), paused(1, 1, 4.0)]
    order = []
    while choice := ASHA.choose(trials, is_last=True):
        trial, target = choice
        order.append((trial.number, target))
        step = target or 9
        curve = (*trial.curve, CurvePoint(step, {"loss": 3.0 - trial.number}))
        state = State.PAUSED if target else State.COMPLETE
        trials[trial.number] = replace(trial, step=step, target_step=target, curve=curve, state=state)
    assert order == [(1, 3), (1, 0), (0, 3), (0, 0)]


def test_hyperband_gives_each_bracket_about_the_same_steps() -> None:
    promoter = create_promoter("hyperband", SIGNS, 9, 1)
    assert promoter.rungs == (1, 3, 9) and promoter.brackets == 3
    assert [promoter.first_target(bracket) for bracket in range(3)] == [1, 3, 0]
    brackets = [promoter.bracket_of(number) for number in range(33)]
    assert Counter(brackets) == {0: 18, 1: 9, 2: 6}, "shares of 9/3, 3/2 and 1"
    assert set(brackets[:5]) == {0, 1, 2}


def test_hyperband_compares_within_a_bracket() -> None:
    promoter = create_promoter("hyperband", SIGNS, 9, 1)
    first = [paused(number, 1, 5.0 + number) for number in range(3)]
    second = [paused(number, 3, float(number), bracket=1) for number in range(3, 6)]
    assert promoter.choose(first + second) == (second[0], 0)
    assert promoter.choose(first + second[:2]) == (first[0], 3)


def test_with_several_objectives_what_nothing_dominates_comes_first() -> None:
    promoter = Promoter({"loss": 1, "accuracy": -1}, (1, 3))
    numbers = [(3.0, 0.1), (2.0, 0.5), (4.0, 0.9), (1.9, 0.2), (5.0, 0.0)]
    trials = [
        replace(paused(number, 1, 0.0), curve=(CurvePoint(1, {"loss": loss, "accuracy": accuracy}),))
        for number, (loss, accuracy) in enumerate(numbers)
    ]
    assert [trial.number for trial in promoter.rank(trials, 1)] == [3, 1, 2, 0, 4]


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.0, 2.0])
def test_a_power_law_is_recovered(exponent: float) -> None:
    curve = tuple((step, 2.0 + 3.0 * step**-exponent) for step in (10, 20, 30, 40, 60, 80, 100))
    assert predict(curve, 300) == pytest.approx(2.0 + 3.0 * 300**-exponent, abs=0.05)


def test_short_and_odd_curves_are_predicted() -> None:
    assert predict(((10, 3.0),), 90) == 3.0
    two = predict(((10, 3.0), (30, 2.5)), 90)
    assert 2.0 < two < 2.4
    assert predict(((10, 3.0), (30, 3.5)), 90) == pytest.approx(3.25), "a curve that rises is not continued upwards"
    assert math.isnan(predict(((10, 3.0), (30, math.nan)), 90))
    assert predict(((10, 3.0), (30, 3.0), (60, 3.0)), 90) == 3.0
    assert predict(((10, -0.2), (30, -0.4)), 90) < -0.4


def test_a_power_law_promotes_what_falls_faster() -> None:
    promoter = create_promoter("power-law", SIGNS, 90, 30)
    curves = {0: (3.0, 2.5), 1: (2.6, 2.45), 2: (3.0, 2.9)}
    trials = [
        replace(paused(n, 30, last), curve=(CurvePoint(10, {"loss": first}), CurvePoint(30, {"loss": last})))
        for n, (first, last) in curves.items()
    ]
    assert promoter.choose(trials) == (trials[0], 0)
    assert create_promoter("asha", SIGNS, 90, 30).choose(trials) == (trials[1], 0)
