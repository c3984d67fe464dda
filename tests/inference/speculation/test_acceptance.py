import pytest

from lmcraft.inference.speculation.acceptance import AcceptanceRate


def test_the_rate_follows_recent_tokens_and_returns_to_the_prior() -> None:
    acceptance = AcceptanceRate((2.0, 0.5))
    assert acceptance.rate == pytest.approx(0.8)
    assert acceptance.expected_tokens(0) == 1 and acceptance.expected_tokens(3) == pytest.approx(2.952)
    for _ in range(10):
        acceptance.record(7, 0)
    assert acceptance.rate < 0.3
    for _ in range(100):
        acceptance.forget()
    assert acceptance.rate == pytest.approx(0.8, abs=1e-3)
    for _ in range(10):
        acceptance.record(7, 7)
    assert acceptance.rate > 0.9


def test_tokens_after_the_first_rejected_one_do_not_count() -> None:
    short, long = AcceptanceRate((0.5, 1.5)), AcceptanceRate((0.5, 1.5))
    short.record(3, 2)
    long.record(15, 2)
    assert short.rate == long.rate
    long.record(0, 0)
    assert short.rate == long.rate
