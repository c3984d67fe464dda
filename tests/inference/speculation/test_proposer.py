"""The contract of every proposer."""

from collections.abc import Callable

import pytest

from lmcraft.inference.runner import build_runner
from lmcraft.inference.speculation.draft import DraftProposer
from lmcraft.inference.speculation.prompt_lookup import PromptLookupProposer
from lmcraft.inference.speculation.proposer import Proposer
from tests.inference.helpers import network, request_of, sequence_of

PROPOSERS: dict[str, Callable[[], Proposer]] = {
    "prompt lookup": lambda: PromptLookupProposer((4, 3, 2)),
    "draft": lambda: DraftProposer(build_runner(network(), tier="eager")),
}


@pytest.mark.parametrize("name", PROPOSERS)
def test_a_proposal_has_at_most_the_requested_length_and_changes_nothing(name: str) -> None:
    proposer = PROPOSERS[name]()
    sequence = sequence_of(request_of(20, 3, do_sample=False))
    sequence.tokens += sequence.tokens[:12]
    tokens, state = list(sequence.tokens), sequence.generator.get_state()
    assert proposer.supports(sequence)
    for max_tokens in (0, 1, 5):
        proposal = proposer.propose(sequence, max_tokens)
        assert len(proposal) <= max_tokens and all(0 <= token_id < 96 for token_id in proposal)
        assert proposer.propose(sequence, max_tokens) == proposal
    assert sequence.tokens == tokens and sequence.generator.get_state().equal(state)
    assert proposer.seconds_per_token >= 0 and (proposer.seconds_per_token == 0 or not proposer.is_free)
