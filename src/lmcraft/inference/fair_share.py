"""How much of the engine's time each client has used: the client that used the least is served first.

A virtual counter per client, as in "Fairness in Serving Large Language Models" (OSDI 2024, arXiv 2401.00588), which counts
seconds here instead of tokens.
"""

from collections.abc import Collection

MAX_CREDIT_SECONDS = 0.5  # lets a short request of an idle client through before the next chunk of others


class FairShare:
    """The engine time of each client, in seconds."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def used(self, client: str) -> float:
        """Seconds that a client has used, by its counter."""
        return self._seconds.get(client, 0.0)

    def charge(self, client: str, seconds: float) -> None:
        """Add to a client's counter."""
        self._seconds[client] = self.used(client) + seconds

    def arrive(self, client: str, active: Collection[str]) -> None:
        """Begin to serve a client that had no requests: it gets little credit for the time in which it was idle.

        Args:
            client: its name.
            active: the clients that have requests.
        """
        if active and client not in active:
            self._seconds[client] = max(self.used(client), min(map(self.used, active)) - MAX_CREDIT_SECONDS)
