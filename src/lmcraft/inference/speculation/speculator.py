"""Speculative decoding: whether to propose tokens for a sequence, how many, and by which proposer.

An accepted proposal saves a step; a rejected one costs a row of the next step. Proposals that take no time are compared with
the text while the model decodes it plainly, so that it is known whether they pay before they are used. And a sequence
spends no more on them than they have saved, a step, and a hundredth of its time, as far as the measured costs are right.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakKeyDictionary

from lmcraft.inference.request import SequenceState
from lmcraft.inference.speculation.acceptance import AcceptanceRate
from lmcraft.inference.speculation.proposer import Proposer
from lmcraft.inference.speculation.step_times import StepTimes

PROPOSAL_LENGTHS = (15, 7, 3, 1)  # plus the last token: multiples of the rows that the native step multiplies together
MIN_SPEEDUP = 1.1  # expected of a step with proposals
INITIAL_CREDIT, CREDIT_PER_TOKEN = 1.0, 0.01  # steps of one row that a sequence may lose
# Tokens accepted and rejected before there are any: a draft is used at once, free proposals are compared first.
FREE_PRIOR, DRAFT_PRIOR = (0.5, 1.5), (2.0, 0.5)


class Verifier(Protocol):
    """The part of a `Runner` that verifies proposals."""

    def can_verify(self, adapter: str) -> bool: ...


@dataclass
class Guess:
    """Tokens that a proposer expects from a position of the text on."""

    acceptance: AcceptanceRate
    position: int
    ids: Sequence[int]
    is_verified: bool
    """Whether the model verifies them; otherwise they are only compared with the text."""
    cost: float = 0.0
    """Time of proposing them, in steps of one row."""


@dataclass
class Progress:
    """What speculation did for one sequence."""

    acceptance: list[AcceptanceRate]
    """Of each proposer."""
    guesses: list[Guess] = field(default_factory=list)
    """Since the last token."""
    num_saved_steps: float = INITIAL_CREDIT
    """Steps of one row that proposals saved, less those that they cost."""

    def compare_guesses(self, tokens: Sequence[int], step_times: StepTimes) -> None:
        """Compare the guesses with the tokens that the model generated since."""
        for guess in self.guesses:
            new = tokens[guess.position : guess.position + len(guess.ids)]
            num_equal = next((n for n, ids in enumerate(zip(guess.ids, new, strict=False)) if ids[0] != ids[1]), len(new))
            guess.acceptance.record(len(new), num_equal)
            if guess.is_verified:
                self.num_saved_steps += num_equal + 1 - step_times.cost(len(guess.ids) + 1) - guess.cost
        self.guesses = []


class Speculator:
    """Proposes as many tokens as give the most new tokens per second.

    Args:
        proposers: asked in order, until one has a proposal.
        verifier: computes the proposals.
    """

    def __init__(self, proposers: Sequence[Proposer], verifier: Verifier) -> None:
        self._proposers, self._verifier = proposers, verifier
        self._progress: WeakKeyDictionary[SequenceState, Progress] = WeakKeyDictionary()
        self.step_times = StepTimes()
        """Of steps for one sequence; the engine records them."""

    def propose(self, sequence: SequenceState, max_tokens: int) -> list[int]:
        """At most `max_tokens` tokens that may follow; often none."""
        if not self._verifier.can_verify(sequence.request.adapter):
            return []
        progress = self._progress_of(sequence)
        progress.compare_guesses(sequence.tokens, self.step_times)
        max_tokens = min(max_tokens, sequence.max_new_tokens - len(sequence.generated) - 1)
        for proposer, acceptance in zip(self._proposers, progress.acceptance, strict=True):
            if not proposer.supports(sequence) or (proposer.is_free and progress.guesses):
                continue
            length = min(self.best_length(sequence, proposer, acceptance), max_tokens)
            if length <= 0 and not proposer.is_free:
                acceptance.forget()
                continue
            if ids := proposer.propose(sequence, length if length > 0 else PROPOSAL_LENGTHS[0]):
                cost = self._cost(proposer, len(ids))
                progress.guesses.append(Guess(acceptance, len(sequence.tokens), ids, length > 0, cost))
                if length > 0:
                    return ids
        return []

    def best_length(self, sequence: SequenceState, proposer: Proposer, acceptance: AcceptanceRate) -> int:
        """The number of proposals that gives the most tokens per second, by the acceptance rate and measured times."""
        best, best_speedup = 0, MIN_SPEEDUP
        if not self.step_times.seconds:
            return best
        credit = self._progress_of(sequence).num_saved_steps + CREDIT_PER_TOKEN * len(sequence.generated)
        for length in PROPOSAL_LENGTHS:
            cost = self.step_times.hoped_cost(length + 1) + self._cost(proposer, length)
            speedup = acceptance.expected_tokens(length) / cost
            if cost - 1 <= credit and speedup > best_speedup:
                best, best_speedup = length, speedup
        return best

    def _progress_of(self, sequence: SequenceState) -> Progress:
        progress = self._progress.get(sequence)
        if progress is None:
            priors = [FREE_PRIOR if proposer.is_free else DRAFT_PRIOR for proposer in self._proposers]
            progress = self._progress[sequence] = Progress([AcceptanceRate(prior) for prior in priors])
        return progress

    def _cost(self, proposer: Proposer, length: int) -> float:
        """Time of proposing, in steps of one row."""
        seconds = self.step_times.seconds
        return length * proposer.seconds_per_token / seconds if seconds else 0.0
