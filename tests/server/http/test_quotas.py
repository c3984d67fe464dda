"""Quotas per API key."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.server.errors import ApiError
from lmcraft.server.http.keys import Key, Keys
from lmcraft.server.http.quotas import Quotas


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def quotas_of(clock: Clock, **bounds: int) -> Quotas:
    return Quotas(Keys([Key("ada", "0" * 64, **bounds)]), clock)


def test_requests_are_counted_and_refill_evenly() -> None:
    clock = Clock()
    quotas = quotas_of(clock, requests_per_minute=2)
    quotas.take("ada", 10)
    quotas.take("ada", 10)
    with pytest.raises(ApiError, match="used up its 2 requests a minute; try again in 30 s") as caught:
        quotas.take("ada", 10)
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "30"})
    clock.now += 30
    quotas.take("ada", 10)


def test_tokens_are_charged_up_front_and_refunded() -> None:
    quotas = quotas_of(Clock(), tokens_per_minute=100)
    quotas.take("ada", 90)
    with pytest.raises(ApiError, match="tokens a minute"):
        quotas.take("ada", 20)
    quotas.refund("ada", 70)
    quotas.take("ada", 80)
    quotas.refund("ada", 1000)
    with pytest.raises(ApiError, match="used up"):  # never more than a minute's worth
        quotas.take("ada", 100)
        quotas.take("ada", 1)


def test_a_refused_request_is_not_charged() -> None:
    quotas = quotas_of(Clock(), requests_per_minute=2, tokens_per_minute=100)
    quotas.take("ada", 100)
    for _ in range(3):
        with pytest.raises(ApiError, match="tokens a minute"):
            quotas.take("ada", 50)
    quotas.refund("ada", 50)
    quotas.take("ada", 50)


def test_a_request_over_the_quota_is_a_bad_request() -> None:
    with pytest.raises(ApiError, match="may use 101 tokens, but its key has 100 a minute") as caught:
        quotas_of(Clock(), tokens_per_minute=100).take("ada", 101)
    assert (caught.value.status, caught.value.headers) == (400, {})


def test_keys_without_quotas_are_unlimited() -> None:
    quotas = quotas_of(Clock(), requests_per_minute=1)
    for _ in range(5):
        quotas.take("", 10**9)
        quotas.take("bob", 10**9)
        quotas.refund("bob", 10)


@settings(deadline=None)
@given(st.integers(1, 10**5), st.lists(st.tuples(st.integers(0, 10**5), st.floats(0, 30)), max_size=20))
def test_a_client_that_waits_as_told_is_served_and_the_rate_holds(rate: int, charges: list[tuple[int, float]]) -> None:
    clock = Clock()
    quotas, start, taken = quotas_of(clock, tokens_per_minute=rate), clock.now, 0
    for tokens, pause in charges:
        tokens = min(tokens, rate)
        clock.now += pause
        try:
            quotas.take("ada", tokens)
        except ApiError as error:
            clock.now += int(error.headers["Retry-After"])
            quotas.take("ada", tokens)
        taken += tokens
        assert taken <= rate + (clock.now - start) * rate / 60 + 0.01
