"""A server that is killed while reviewers work loses no verdict that it acknowledged, and gives no item to two of them."""

from pathlib import Path

import pytest

from tests.annotation.kills import run


@pytest.mark.slow
def test_kills_of_the_server_lose_and_double_nothing(location: str, tmp_path: Path) -> None:
    outcome = run(location, tmp_path, reviewers=4, num_items=200, kills=2, seconds=1.5, seed=1)
    assert not outcome.faults and outcome.acknowledged > 0
