"""Quotas of requests and tokens per minute, one of each per API key."""

import math
import time
from collections.abc import Callable

from lmcraft.server.errors import ApiError
from lmcraft.server.http.keys import Keys


class _Bucket:
    """As many as `per_minute`, refilled evenly: a token bucket."""

    def __init__(self, what: str, per_minute: int, clock: Callable[[], float]) -> None:
        self.what, self.per_minute, self._clock = what, per_minute, clock
        self._level, self._at = float(per_minute), clock()

    def wait(self, count: int) -> float:
        """Seconds until there are as many; 0: now."""
        now = self._clock()
        self._level = min(self.per_minute, self._level + (now - self._at) * self.per_minute / 60)
        self._at = now
        seconds = (count - self._level) * 60 / self.per_minute
        return seconds if seconds > 1e-6 else 0.0  # whoever waits as told must not fail by a rounding

    def take(self, count: int) -> None:
        self._level -= count

    def give_back(self, count: int) -> None:
        self._level = min(self.per_minute, self._level + count)


class Quotas:
    """What each key has used of its requests and tokens per minute. For the event loop alone."""

    def __init__(self, keys: Keys, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._requests = {k.name: _Bucket("requests", k.requests_per_minute, clock) for k in keys if k.requests_per_minute}
        self._tokens = {k.name: _Bucket("tokens", k.tokens_per_minute, clock) for k in keys if k.tokens_per_minute}

    def take(self, owner: str, tokens: int) -> None:
        """Count one request, and the tokens that it takes at most: those of its prompt and all that may follow.

        What a refused request asked for is not counted.

        Raises:
            ApiError: the quota is used up (429), or is too small for this request at any time (400).
        """
        wanted = [(self._requests[owner], 1)] if owner in self._requests else []
        wanted += [(self._tokens[owner], tokens)] if owner in self._tokens else []
        for bucket, count in wanted:
            if count > bucket.per_minute:
                said = (
                    f"this request may take {count} tokens, but its key has {bucket.per_minute} a minute: lower max_tokens"
                )
                raise ApiError(400, f"{said}, or shorten the prompt", code="tokens_per_minute", param="max_tokens")
        waits = [(seconds, bucket) for bucket, count in wanted if (seconds := bucket.wait(count))]
        if waits:
            seconds, bucket = max(waits, key=lambda pair: pair[0])
            after = str(math.ceil(seconds))
            said = f"the key '{owner}' has used up its {bucket.per_minute} {bucket.what} a minute: try again in {after} s"
            raise ApiError(429, said, code="rate_limit_exceeded", headers={"Retry-After": after})
        for bucket, count in wanted:
            bucket.take(count)

    def give_back(self, owner: str, tokens: int) -> None:
        """Tokens that a request took and did not use."""
        if owner in self._tokens:
            self._tokens[owner].give_back(tokens)
