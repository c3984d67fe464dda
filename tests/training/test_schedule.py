"""Learning-rate schedules: warmup, shape and final factor."""

import math

import pytest

from lmcraft.errors import UserError
from lmcraft.training.config import ScheduleConfig
from lmcraft.training.schedule import check_schedule, learning_rate_factor

STEPS = 100


def curve(**settings: object) -> list[float]:
    config = ScheduleConfig(**settings)  # type: ignore[arg-type]
    return [learning_rate_factor(config, step, STEPS) for step in range(STEPS)]


@pytest.mark.parametrize("name", ["constant", "linear", "cosine", "wsd"])
def test_warmup_rises_in_a_straight_line(name: str) -> None:
    factors = curve(name=name, warmup=0.1)
    assert factors[:10] == [pytest.approx((n + 1) / 11) for n in range(10)]


@pytest.mark.parametrize("name", ["linear", "cosine", "wsd"])
@pytest.mark.parametrize("final", [0.0, 0.1])
def test_the_last_step_has_the_final_factor(name: str, final: float) -> None:
    assert curve(name=name, final=final)[-1] == pytest.approx(final)


def test_shape_of_each_schedule() -> None:
    assert curve(name="constant", warmup=0.0) == [1.0] * STEPS
    wsd = curve(name="wsd", warmup=0.0, decay=0.4)
    assert wsd[:60] == [1.0] * 60 and wsd[79] == pytest.approx(0.5)
    assert curve(name="linear", warmup=0.0)[49] == pytest.approx(0.5)
    assert curve(name="cosine", warmup=0.0)[24] == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


def test_a_share_outside_zero_to_one_is_an_error() -> None:
    with pytest.raises(UserError, match=r"schedule\.decay=1\.5"):
        check_schedule(ScheduleConfig(decay=1.5))
