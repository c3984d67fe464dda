import pytest

from lmcraft.inference.speculation.step_times import StepTimes


def test_a_slow_step_now_and_then_does_not_count() -> None:
    times = StepTimes()
    assert times.seconds == 0
    for seconds in (3.0, 1.0, 9.0, 1.0, 1.0, 9.0):
        times.record(1, seconds)
    assert times.seconds == 1.0
    for _ in range(StepTimes.WINDOW_STEPS):
        times.record(1, 2.0)
    assert times.seconds == 2.0


def test_a_cost_is_relative_to_the_steps_of_its_time() -> None:
    times = StepTimes()
    times.record(1, 2.0)
    times.record(4, 3.0)
    for _ in range(StepTimes.WINDOW_STEPS):
        times.record(1, 8.0)
    assert times.cost(1) == 1 and times.cost(4) == 1.5


def test_a_cost_that_is_not_measured_is_assumed_from_fewer_rows() -> None:
    times = StepTimes()
    assert times.cost(5) == 1 + 4 * StepTimes.ASSUMED_COST_PER_ROW
    times.record(1, 2.0)
    times.record(4, 3.0)
    assert times.cost(8) == times.hoped_cost(8) == pytest.approx(1 + 7 * 0.5 / 3)


def test_a_few_slow_steps_do_not_rule_a_number_of_rows_out() -> None:
    times, assumed = StepTimes(), 1 + 3 * StepTimes.ASSUMED_COST_PER_ROW
    times.record(1, 1.0)
    for _ in range(2):
        times.record(4, 9.0)
        assert times.cost(4) == 9 and times.hoped_cost(4) == assumed
    for _ in range(StepTimes.WINDOW_STEPS):
        times.record(4, 9.0)
    assert times.hoped_cost(4) == 9


def test_a_time_is_forgotten_when_its_number_of_rows_is_not_used_for_a_while() -> None:
    times = StepTimes()
    times.record(1, 1.0)
    times.record(4, 30.0)
    for _ in range(StepTimes.MAX_AGE_STEPS - 2):
        assert times.cost(4) == 30 and times.seconds
        times.record(16, 2.0)
    times.record(16, 2.0)
    times.record(16, 2.0)
    assert times.cost(4) == 1 + 3 * StepTimes.ASSUMED_COST_PER_ROW and not times.seconds
    times.record(1, 3.0)
    assert times.seconds == 3.0
