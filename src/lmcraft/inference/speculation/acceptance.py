"""How often the model agrees with proposed tokens (speculative decoding, arXiv 2211.17192)."""


class AcceptanceRate:
    """Estimates the probability that a proposed token is accepted, from the recent tokens of one request.

    Args:
        prior: tokens counted as accepted and as rejected before there are any.
    """

    DECAY = 0.9
    """Factor by which the weight of a token shrinks with every later one."""

    def __init__(self, prior: tuple[float, float]) -> None:
        self._prior = prior
        self._accepted = self._rejected = 0.0

    def record(self, num_proposed: int, num_accepted: int) -> None:
        """Add one proposal. Tokens after the first rejected one carry no information, so at most one counts as rejected."""
        for _ in range(num_accepted):
            self._add(True)
        if num_accepted < num_proposed:
            self._add(False)

    def forget(self) -> None:
        """Return a step closer to the prior: nothing was proposed."""
        self._accepted, self._rejected = self.DECAY * self._accepted, self.DECAY * self._rejected

    def _add(self, accepted: bool) -> None:
        self.forget()
        self._accepted += accepted
        self._rejected += not accepted

    @property
    def rate(self) -> float:
        """Probability that a proposed token is accepted, if those before it are."""
        accepted, rejected = self._accepted + self._prior[0], self._rejected + self._prior[1]
        return accepted / (accepted + rejected)

    def expected_tokens(self, num_proposed: int) -> float:
        """Expected number of new tokens of a step with this many proposals: arXiv 2211.17192, equation 1."""
        return sum(self.rate**n for n in range(num_proposed + 1))
