"""How often the model agrees with proposed tokens (speculative decoding, arXiv 2211.17192)."""


class AcceptanceRate:
    """Estimates the probability that a proposed token is accepted, from the recent steps of one request.

    The estimate starts at a prior, and returns to it while there are no proposals.
    """

    PRIOR = (2.0, 0.5)
    """Proposals counted as accepted and as rejected before there are any."""
    DECAY = 0.9
    """Factor by which the weight of a step shrinks with every later step."""

    def __init__(self) -> None:
        self._accepted = self._rejected = 0.0

    def record(self, num_proposed: int, num_accepted: int) -> None:
        """Add one step. Proposals after the first rejected one carry no information, so at most one counts as rejected."""
        self._accepted = self.DECAY * self._accepted + num_accepted
        self._rejected = self.DECAY * self._rejected + (num_accepted < num_proposed)

    @property
    def rate(self) -> float:
        """Probability that a proposal is accepted, if those before it are."""
        accepted, rejected = self._accepted + self.PRIOR[0], self._rejected + self.PRIOR[1]
        return accepted / (accepted + rejected)

    def expected_tokens(self, num_proposed: int) -> float:
        """Expected number of new tokens of a step with this many proposals: arXiv 2211.17192, equation 1."""
        return sum(self.rate**n for n in range(num_proposed + 1))
