"""The interface of a proposer. To add one, write a class with these methods and add it to `proposers` in `Engine`."""

from typing import Protocol

from lmcraft.inference.request import SequenceState


class Proposer(Protocol):
    """Proposes tokens that may follow a sequence's text. The model verifies all of them in one step."""

    @property
    def is_free(self) -> bool:
        """Whether its proposals take next to no time. Such proposals are compared with the text before they are used."""
        ...

    @property
    def seconds_per_token(self) -> float:
        """Recent time that a proposed token took; 0 if negligible or not known yet."""
        ...

    def supports(self, sequence: SequenceState) -> bool:
        """Whether it proposes tokens for a sequence with these settings."""
        ...

    def propose(self, sequence: SequenceState, max_tokens: int) -> list[int]:
        """Up to `max_tokens` tokens that may follow."""
        ...
