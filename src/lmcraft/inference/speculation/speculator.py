"""Speculative decoding: how many tokens to propose for a sequence, and by which proposer.

An accepted proposal saves a step; a rejected one costs a row of the next step.
"""

from collections.abc import Sequence
from typing import Protocol

from lmcraft.inference.request import SequenceState
from lmcraft.inference.speculation.proposer import Proposer

PROPOSAL_LENGTHS = (15, 7, 3)  # plus the last token: multiples of 4 rows, which the native step multiplies together


class Verifier(Protocol):
    """The part of a `Runner` that verifies proposals."""

    def can_verify(self, adapter: str) -> bool: ...
    def step_seconds(self, num_rows: int) -> float: ...


class Speculator:
    """Proposes as many tokens as give the most new tokens per second.

    Args:
        proposers: asked in order, until one has a proposal.
        verifier: computes the proposals, and knows how long a step takes.
    """

    def __init__(self, proposers: Sequence[Proposer], verifier: Verifier) -> None:
        self._proposers, self._verifier = proposers, verifier

    def propose(self, sequence: SequenceState, max_tokens: int) -> list[int]:
        """At most `max_tokens` tokens that may follow; often none."""
        if not self._verifier.can_verify(sequence.request.adapter):
            return []
        proposers = [proposer for proposer in self._proposers if proposer.supports(sequence)]
        if not proposers:
            return []
        num_tokens = min(self.best_length(sequence), max_tokens)
        for proposer in proposers:
            if ids := proposer.propose(sequence, num_tokens):
                return ids
        return []

    def best_length(self, sequence: SequenceState) -> int:
        """The number of proposals that gives the most tokens per second, by the acceptance rate and measured times."""
        best, best_rate = 0, 0.0
        for length in (*PROPOSAL_LENGTHS, 0):
            seconds = self._verifier.step_seconds(length + 1)
            if not seconds:
                return length  # unknown: measure it
            seconds += length * sum(proposer.seconds_per_token for proposer in self._proposers)
            if (rate := sequence.acceptance.expected_tokens(length) / seconds) > best_rate:
                best, best_rate = length, rate
        return best
