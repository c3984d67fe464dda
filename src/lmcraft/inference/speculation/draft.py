"""Draft-model speculation: a smaller model with the same vocabulary proposes tokens (arXiv 2211.17192).

Unlike the paper's rejection sampling, a proposal is accepted where the model's own sample is the same token. The draft
samples with the same random numbers, so the two often agree. The text is exactly that of the model alone, at every
temperature.
"""

import time

import torch

from lmcraft.inference.block_pool import BlockTable
from lmcraft.inference.prompt_chunk import PromptChunk
from lmcraft.inference.request import SequenceState
from lmcraft.inference.runner import Runner


class DraftProposer:
    """A smaller model that follows one sequence at a time.

    Args:
        runner: runs the smaller model; used by nothing else.
    """

    is_free = False

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._block_table = BlockTable()
        self._computed: list[int] = []
        """The tokens whose keys and values are in the runner's pool."""
        self.seconds_per_token = 0.0

    def supports(self, sequence: SequenceState) -> bool:
        return True

    @torch.inference_mode()
    def propose(self, sequence: SequenceState, max_tokens: int) -> list[int]:
        tokens, start = list(sequence.tokens), time.perf_counter()
        max_tokens = min(max_tokens, self._runner.context_length - len(tokens) + 1)
        num_shared = 0
        while num_shared < min(len(self._computed), len(tokens) - 1) and self._computed[num_shared] == tokens[num_shared]:
            num_shared += 1
        del self._computed[num_shared:]
        generator = torch.Generator()
        generator.set_state(sequence.generator.get_state())
        proposal: list[int] = []
        while len(proposal) < max_tokens and not (proposal and proposal[-1] in sequence.request.eos_token_ids):
            self._runner.pool.allocate(self._block_table, len(tokens))
            new = tokens[len(self._computed) :]
            (scores,) = self._runner.prefill([PromptChunk(self._block_table, len(self._computed), new)])
            self._computed += new
            token_ids = sequence.sampler.next_tokens(
                scores.logits[-1:],
                torch.tensor([tokens]),
                prompt_length=sequence.prompt_length,
                generator=generator,
            )
            proposal.append(int(token_ids))
            tokens.append(proposal[-1])
        if proposal:
            self.seconds_per_token = (time.perf_counter() - start) / len(proposal)
        return proposal
