import math

import numpy as np
import pytest

from lmcraft.errors import UserError
from tests.hyperparameters.spaces import CONDITIONAL, RATE, space_of

DRAWS = 4000


@pytest.mark.parametrize(
    "line",
    [
        RATE,
        "schedule.decay = { low = 0.25, high = 0.75 }",
        "schedule.decay = { low = 0.1, high = 0.9, step = 0.1 }",
        "depth = { low = 1, high = 7 }",
        "depth = { low = 1, high = 64, log = true }",
        "model.hidden_size = { low = 32, high = 96, step = 32 }",
        "model.hidden_size = { choices = [32, 64, 96] }",
        'optimizer.name = { choices = ["adamw", "sgd", "muon"] }',
        "optimizer.nesterov = { choices = [true, false] }",
    ],
)
def test_shares_of_a_range(line: str) -> None:
    """Values are in the range, equal shares are equally likely, and a value's share gives the value."""
    (dimension,) = space_of(line).dimensions
    shares = (np.arange(DRAWS) + 0.5) / DRAWS
    values = [dimension.from_unit(u) for u in shares]
    assert all(map(dimension.contains, values)) and dimension.contains(dimension.from_unit(1.0))
    assert all(math.isclose(float(v), float(dimension.from_unit(dimension.to_unit(v)))) for v in values if v not in
               (*[c for c in dimension.choices if isinstance(c, str)],))  # fmt: skip
    if dimension.count and not dimension.log:
        counts = {value: values.count(value) for value in values}
        assert len(counts) == dimension.count
        assert max(counts.values()) - min(counts.values()) <= 1


def test_marginals_are_uniform_or_log_uniform() -> None:
    rate, decay = space_of(RATE, "schedule.decay = { low = 0.2, high = 0.6 }").dimensions
    assert math.isclose(float(rate.from_unit(0.5)), 1e-2) and math.isclose(float(decay.from_unit(0.5)), 0.4)
    (depth,) = space_of("depth = { low = 1, high = 8, log = true }").dimensions
    counts = np.bincount([int(depth.from_unit(u)) for u in (np.arange(DRAWS) + 0.5) / DRAWS])[1:]
    expected = np.log((np.arange(1, 9) + 0.5) / (np.arange(1, 9) - 0.5)) / np.log(8.5 / 0.5)
    assert np.allclose(counts / DRAWS, expected, atol=1e-3)


def test_a_condition_that_is_false_leaves_the_dimension_out() -> None:
    space = space_of(*CONDITIONAL)
    positions = np.random.default_rng(0).random((100, 3))
    points = [space.from_unit(u_D) for u_D in positions]
    names = {(point["pretrain.optimizer.name"], "pretrain.optimizer.beta2" in point) for point in points}
    assert names == {("normuon", False), ("adamw", True)}
    for u_D, point in zip(positions, points, strict=True):
        assert space.from_unit(space.to_unit(point)) == pytest.approx(point)
        assert space.from_unit(u_D, {"pretrain.optimizer.name": "normuon"}).keys() == {
            "pretrain.optimizer.name", "pretrain.depth",
        }  # fmt: skip


def test_the_grid_has_every_allowed_point_once() -> None:
    space = space_of(
        CONDITIONAL[0],
        'optimizer.beta2 = { choices = [0.9, 0.99], when = { "optimizer.name" = "adamw" } }',
        "depth = { low = 1, high = 3 }",
        constraints=["depth != 2"],
    )
    points = space.grid_points()
    assert len(points) == (1 + 2) * 2 == len({frozenset(point.items()) for point in points})
    with pytest.raises(UserError, match="learning_rate is a continuous range, which has no grid: give it a step"):
        space_of(RATE).grid_points()
    with pytest.raises(UserError, match="the grid has more than 100,000 points"):
        space_of("depth = { low = 1, high = 1000000 }").grid_points()


def test_the_default_point() -> None:
    with_defaults = (RATE.replace(" }", ", default = 0.02 }"), "schedule.decay = { low = 0.1, high = 0.9 }")
    assert space_of(*with_defaults).default_point() == {
        "pretrain.optimizer.learning_rate": 0.02,
        "pretrain.schedule.decay": 0.5,
    }
    assert space_of(*with_defaults, "depth = { low = 1, high = 2 }").default_point() is None
    assert space_of(*with_defaults, constraints=["schedule.decay > 0.6"]).default_point() is None


def test_points_from_the_command_line() -> None:
    space = space_of(*CONDITIONAL, "optimizer.nesterov = { choices = [true, false] }", RATE)
    settings = {
        "depth": "3",
        "pretrain.optimizer.name": "adamw",
        "optimizer.nesterov": "false",
        "optimizer.learning_rate": "1e-2",
    }
    assert space.point_from(settings) == {
        "pretrain.depth": 3,
        "pretrain.optimizer.name": "adamw",
        "pretrain.optimizer.nesterov": False,
        "pretrain.optimizer.learning_rate": 0.01,
    }
    assert space.point_from({"depth": 2}) == {"pretrain.depth": 2}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("dept", "3", "'dept' is no range of the space: is it 'pretrain.depth'?"),
        ("depth", "4", "pretrain.depth=4 is outside the range: give a whole number from 1 to 3"),
        ("depth", "2.5", "pretrain.depth=2.5 is outside the range"),
        ("depth", "nan", "pretrain.depth=nan is outside the range"),
        ("depth", "inf", "pretrain.depth=inf is outside the range"),
        ("depth", True, "pretrain.depth=True is outside the range"),
        ("optimizer.name", "sgd", "give one of 'normuon', 'adamw'"),
    ],
)
def test_what_is_not_in_the_space_is_refused(name: str, value: object, message: str) -> None:
    with pytest.raises(UserError) as error:
        space_of(*CONDITIONAL).point_from({name: value})
    assert message in str(error.value)
