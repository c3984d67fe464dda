"""The confirmation of a search: finalists, new seeds, ties, noise and optimism."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lmcraft.hyperparameters.confirmation import (
    DEFAULT,
    FIRST_SEED,
    RUNNER_UP,
    WINNER,
    Verdict,
    choose_finalists,
    judge,
    next_confirmation,
)
from lmcraft.hyperparameters.trial import Kind, Point, State, Trial

LOSS = "validation_loss"


def search(effects: list[float], rng: np.random.Generator, noise: float = 0.01) -> list[Trial]:
    """Finished trials whose true values are `effects`."""
    return [
        Trial(number=n, point={"x": n}, state=State.COMPLETE, values={LOSS: effect + rng.normal(0, noise)})
        for n, effect in enumerate(effects)
    ]


def confirm(
    trials: list[Trial], effects: list[float], rng: np.random.Generator, default: Point | None = None, runs: int = 3
) -> Verdict:
    """The verdict after all confirmation runs; the holdout is harder by 0.3."""
    while (new := next_confirmation(trials, LOSS, 1, default, runs)) is not None:
        assert new.source is not None
        values = {LOSS: effects[new.source] + rng.normal(0, 0.01)}
        run = Trial(number=len(trials), point=new.point, kind=new.kind, source=new.source, seed=new.seed, values=values)
        trials.append(replace(run, state=State.COMPLETE, holdout={LOSS: values[LOSS] + 0.3 + rng.normal(0, 0.002)}))
    verdict = judge(trials, LOSS, 1, default)
    assert verdict is not None
    return verdict


def test_the_finalists_are_the_best_two_and_the_defaults() -> None:
    trials = search([3.0, 2.0, 1.0], np.random.default_rng(1))
    assert {role: t.number for role, t in choose_finalists(trials, LOSS, 1, {"x": 0}).items()} == {
        WINNER: 2,
        RUNNER_UP: 1,
        DEFAULT: 0,
    }
    assert [t.number for t in choose_finalists(trials, LOSS, -1, {"x": 0}).values()] == [0, 1]
    paused = [replace(trials[0], state=State.PAUSED, values={}), *trials[1:]]
    assert choose_finalists(paused, LOSS, 1, {"x": 0})[DEFAULT].number == 0
    failed = [replace(trials[0], state=State.FAILED), *trials[1:]]
    assert DEFAULT not in choose_finalists(failed, LOSS, 1, {"x": 0})
    assert choose_finalists(paused[:1], LOSS, 1, {"x": 0}) == {}


def test_each_finalist_is_trained_with_the_same_new_seeds() -> None:
    rng = np.random.default_rng(1)
    trials = search([3.0, 2.0, 1.0], rng)
    confirm(trials, [3.0, 2.0, 1.0], rng, {"x": 0}, runs=2)
    runs = [(t.source, t.seed) for t in trials if t.kind is Kind.CONFIRMATION]
    assert sorted(runs) == [(n, FIRST_SEED + k) for n in range(3) for k in range(2)]


def test_a_clear_winner_is_better_than_the_runner_up_and_the_defaults() -> None:
    rng, effects = np.random.default_rng(2), [2.0, 1.5, 1.0]
    verdict = confirm(search(effects, rng), effects, rng, {"x": 0})
    assert verdict.winner.number == 2 and not verdict.is_tie and verdict.used_holdout and verdict.tied == [2]
    assert verdict.gain_over(RUNNER_UP).difference.value == pytest.approx(0.5, abs=0.03)
    assert verdict.gain_over(DEFAULT).difference.value == pytest.approx(1.0, abs=0.03)
    assert verdict.noise == pytest.approx(0.01, abs=0.01)
    assert all(sentence.startswith("the winner is better than the ") for sentence in list(verdict.sentences())[:2])


def test_where_nothing_matters_nearly_every_search_ends_in_a_tie_and_the_optimism_is_seen() -> None:
    ties, optimism, effects = 0, [], [1.0] * 25
    for seed in range(100):
        rng = np.random.default_rng(seed)
        verdict = confirm(search(effects, rng), effects, rng, {"x": 0})
        ties += verdict.is_tie and all(gain.is_tie for gain in verdict.gains)
        optimism.append(verdict.optimism)
    assert ties >= 90
    assert np.mean(optimism) == pytest.approx(0.01 * 1.965, rel=0.15)  # the expected minimum of 25 normal draws


def test_too_few_runs_decide_nothing() -> None:
    rng, effects = np.random.default_rng(3), [2.0, 1.0]
    one = confirm(search(effects, rng), effects, rng, runs=1)
    assert one.is_tie and np.isnan(one.noise) and one.gains[0].p_value is None and "too few runs" in next(one.sentences())
    none = judge(search(effects, rng), LOSS, 1, None)
    assert none is not None and none.is_tie and np.isnan(none.optimism) and not none.used_holdout
    alone = judge(search([1.0], rng), LOSS, 1, None)
    assert alone is not None and alone.gains == [] and alone.is_tie
    assert judge([], LOSS, 1, None) is None


def test_a_verdict_is_json() -> None:
    rng, effects = np.random.default_rng(4), [2.0, 1.0]
    verdict = judge(search(effects, rng), LOSS, 1, None)
    assert verdict is not None
    assert json.loads(json.dumps(verdict.to_json(), allow_nan=False))["tie"] is True
