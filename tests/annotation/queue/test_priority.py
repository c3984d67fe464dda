"""The order in which items come."""

from lmcraft.annotation.queue.priority import priority_of, uncertainty_of


def test_each_part_raises_the_priority() -> None:
    assert priority_of(severity=0.2, uncertainty=0.3, traffic=1, is_reported=False) == 0.5
    assert priority_of(severity=0.2, uncertainty=0.3, traffic=100, is_reported=True) == 3.0


def test_uncertainty_is_highest_at_one_half() -> None:
    assert [uncertainty_of(score) for score in (0.0, 0.25, 0.5, 1.0, 7.0)] == [0.0, 0.5, 1.0, 0.0, 0.0]
