"""Quotas: requests and tokens per minute of each API key, as token buckets."""

import math
import time
from collections.abc import Callable

from lmcraft.errors import ErrorValues
from lmcraft.server.errors import ApiError
from lmcraft.server.http.keys import Keys

SECONDS_PER_MINUTE = 60
MIN_WAIT_SECONDS = 1e-6  # shorter waits are rounding errors: a client that waited for Retry-After must not be refused


class _Bucket:
    """A token bucket that holds `per_minute` units and refills evenly."""

    def __init__(self, unit: str, per_minute: int, clock: Callable[[], float]) -> None:
        self.unit, self.per_minute, self._clock = unit, per_minute, clock
        self._level, self._time = float(per_minute), clock()

    def wait_seconds(self, count: int) -> float:
        """Seconds until the bucket holds `count` units; 0 if it does now."""
        now = self._clock()
        self._level = min(self.per_minute, self._level + (now - self._time) * self.per_minute / SECONDS_PER_MINUTE)
        self._time = now
        seconds = (count - self._level) * SECONDS_PER_MINUTE / self.per_minute
        return seconds if seconds > MIN_WAIT_SECONDS else 0.0

    def take(self, count: int) -> None:
        self._level -= count

    def refund(self, count: int) -> None:
        self._level = min(self.per_minute, self._level + count)


class Quotas:
    """The requests and tokens that each key has left. Not thread-safe: only the event loop uses it."""

    def __init__(self, keys: Keys, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._requests = {k.name: _Bucket("requests", k.requests_per_minute, clock) for k in keys if k.requests_per_minute}
        self._tokens = {k.name: _Bucket("tokens", k.tokens_per_minute, clock) for k in keys if k.tokens_per_minute}

    def take(self, owner: str, tokens: int) -> None:
        """Charge one request and the maximum number of tokens it can use: its prompt and its longest output.

        A request that is refused is not charged.

        Raises:
            ApiError: the quota is used up (429), or is too small for this request at all (400).
        """
        charges = [(self._requests[owner], 1)] if owner in self._requests else []
        charges += [(self._tokens[owner], tokens)] if owner in self._tokens else []
        for bucket, count in charges:
            if count > bucket.per_minute:
                message = (
                    f"this request may use {count} tokens, but its key has {bucket.per_minute} a minute; "
                    "lower max_tokens, or shorten the prompt"
                )
                limits = {"tokens": count, "per_minute": bucket.per_minute}
                raise ApiError(400, message, code="tokens_per_minute", param="max_tokens", values=limits)
        waits = [(seconds, bucket) for bucket, count in charges if (seconds := bucket.wait_seconds(count))]
        if waits:
            seconds, bucket = max(waits, key=lambda pair: pair[0])
            retry_after = str(math.ceil(seconds))
            message = (
                f"the key '{owner}' has used up its {bucket.per_minute} {bucket.unit} a minute; try again in {retry_after} s"
            )
            values: ErrorValues = {"unit": bucket.unit, "per_minute": bucket.per_minute}
            raise ApiError(429, message, code="rate_limit_exceeded", values=values, headers={"Retry-After": retry_after})
        for bucket, count in charges:
            bucket.take(count)

    def refund(self, owner: str, tokens: int) -> None:
        """Return tokens that a request was charged and did not use."""
        if owner in self._tokens:
            self._tokens[owner].refund(tokens)
