import pytest

from lmcraft.inference.speculation.acceptance import AcceptanceRate


def test_the_rate_follows_recent_steps_and_returns_to_the_prior() -> None:
    acceptance = AcceptanceRate()
    prior = acceptance.rate
    assert acceptance.expected_tokens(0) == 1 and 2.9 < acceptance.expected_tokens(3) < 4
    for _ in range(10):
        acceptance.record(7, 0)
    assert acceptance.rate < 0.3
    for _ in range(100):
        acceptance.record(0, 0)
    assert acceptance.rate == pytest.approx(prior, abs=1e-3)
    for _ in range(10):
        acceptance.record(7, 7)
    assert acceptance.rate > 0.95
