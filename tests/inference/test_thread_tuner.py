from collections import Counter

import pytest
import torch

from lmcraft.inference import thread_tuner
from lmcraft.inference.thread_tuner import (
    MAX_TRIAL_STEPS,
    STEPS_BETWEEN_TRIALS,
    TRIAL_STEPS_PER_CANDIDATE,
    ThreadTuner,
    one_torch_thread,
)
from tests.clock import set_clock


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    set_clock(monkeypatch, thread_tuner, perf_counter=clock)
    return clock


def take_steps(tuner: ThreadTuner, clock: Clock, count: int, seconds: dict[int, float]) -> list[int]:
    threads_used = []
    for _ in range(count):
        with tuner.measure_step() as threads:
            clock.now += seconds[threads]
        threads_used.append(threads)
    return threads_used


@pytest.mark.parametrize(("seconds", "best"), [({1: 2.0, 4: 1.0}, 4), ({1: 1.0, 4: 2.0}, 1)])
def test_both_candidates_are_tried_and_the_faster_is_kept(seconds: dict[int, float], best: int, clock: Clock) -> None:
    tuner = ThreadTuner(4)
    num_trials = {1: TRIAL_STEPS_PER_CANDIDATE, 4: TRIAL_STEPS_PER_CANDIDATE if best == 4 else MAX_TRIAL_STEPS}
    assert not tuner.uses_all_threads
    assert Counter(take_steps(tuner, clock, sum(num_trials.values()), seconds)) == num_trials
    assert take_steps(tuner, clock, 10, seconds) == [best] * 10
    assert tuner.uses_all_threads == (best == 4)


def test_trials_that_are_skipped_come_later(clock: Clock) -> None:
    tuner = ThreadTuner(4)
    tuner.skip_trials()
    assert set(take_steps(tuner, clock, STEPS_BETWEEN_TRIALS, {4: 1.0})) == {4}
    assert set(take_steps(tuner, clock, 6, {1: 2.0, 4: 1.0})) == {1, 4}
    assert tuner.uses_all_threads


def test_candidates_are_tried_again_after_slow_steps_and_regularly(clock: Clock) -> None:
    tuner = ThreadTuner(4)
    take_steps(tuner, clock, 6, {1: 2.0, 4: 1.0})
    assert set(take_steps(tuner, clock, 3, {4: 9.0})) == {4}
    assert set(take_steps(tuner, clock, 3 + MAX_TRIAL_STEPS, {1: 2.0, 4: 9.0})) == {1, 4}
    assert set(take_steps(tuner, clock, STEPS_BETWEEN_TRIALS, {1: 2.0})) == {1}
    assert set(take_steps(tuner, clock, 6, {1: 2.0, 4: 1.0})) == {1, 4}


def test_one_candidate_needs_no_choice(clock: Clock) -> None:
    assert set(take_steps(ThreadTuner(1), clock, 9, {1: 1.0})) == {1}


def test_torch_has_one_thread_inside_the_context_only() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ValueError), one_torch_thread():
        assert torch.get_num_threads() == 1
        raise ValueError
    assert torch.get_num_threads() == before


def test_threads_that_start_slowly_get_more_steps(clock: Clock) -> None:
    tuner = ThreadTuner(2)
    take_steps(tuner, clock, 3, {1: 2.0})
    take_steps(tuner, clock, 3, {2: 4.0})
    take_steps(tuner, clock, 1, {2: 1.0})
    assert tuner.threads == 2 and tuner.uses_all_threads
