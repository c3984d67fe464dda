"""The scheduler: which requests run, and which tokens the next step computes (continuous batching, Orca, OSDI 2022).

A step computes chunks of prompts and the next token, or a few, of every sequence past its prompt, within a budget of tokens.
Prompts are always cut at multiples of the same length, so that a text does not depend on what else is in the batch.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from lmcraft.errors import UserError
from lmcraft.inference.block_pool import BlockPool
from lmcraft.inference.request import SequenceState
from lmcraft.inference.speculation.speculator import Speculator

# Prompts are computed in chunks of this length, and cached prefixes are reused in multiples of it: PyTorch may round matrix
# products of another number of rows differently.
PREFILL_CHUNK_TOKENS = 256


@dataclass(frozen=True)
class Batch:
    """The work of one step."""

    prefill: list[tuple[SequenceState, int]]
    """Sequences whose prompt is not finished, each with the position where its next chunk ends."""
    decode: list[tuple[SequenceState, Sequence[int]]]
    """Sequences past their prompt, each with its next tokens: the last one and proposals after it, or several known ones."""


class Scheduler:
    """Admits requests in order of arrival, plans each step, and preempts the youngest sequence when the pool is full.

    Args:
        pool: holds the keys and values.
        speculator: proposes tokens for a sequence that runs alone.
        context_length: maximum number of tokens of a sequence, prompt included.
        max_num_seqs: maximum number of requests that run concurrently.
        max_num_batched_tokens: maximum number of tokens per step; 0: one chunk of a prompt, and a token of every sequence.
        max_tokens_per_request: maximum number of tokens of one sequence in a decode step.

    Raises:
        UserError: the budget is less than a chunk of a prompt and a token of every sequence.
    """

    def __init__(
        self,
        pool: BlockPool,
        speculator: Speculator,
        *,
        context_length: int,
        max_num_seqs: int,
        max_num_batched_tokens: int,
        max_tokens_per_request: int,
    ) -> None:
        min_num_batched_tokens = PREFILL_CHUNK_TOKENS + max_num_seqs
        if 0 < max_num_batched_tokens < min_num_batched_tokens:
            raise UserError(
                f"max_num_batched_tokens={max_num_batched_tokens} is less than a chunk of {PREFILL_CHUNK_TOKENS} prompt "
                f"tokens and one token for each of max_num_seqs={max_num_seqs}: set at least {min_num_batched_tokens}"
            )
        self.max_num_seqs = max_num_seqs
        self.max_num_batched_tokens = max_num_batched_tokens or min_num_batched_tokens
        self.waiting: deque[SequenceState] = deque()
        self.running: list[SequenceState] = []
        self._pool = pool
        self._speculator = speculator
        self._context_length = context_length
        self._max_tokens_per_request = max_tokens_per_request

    def enqueue(self, sequence: SequenceState) -> None:
        """Add a sequence at the end of the queue."""
        self.waiting.append(sequence)

    def next_batch(self) -> Batch:
        """Drop expired sequences, admit waiting ones, and choose the tokens of the next step."""
        self._drop_expired()
        self._admit()
        decoding = [sequence for sequence in self.running if sequence.num_computed >= sequence.prompt_length]
        decode: list[tuple[SequenceState, Sequence[int]]] = []
        budget = self.max_num_batched_tokens - len(decoding)  # beyond one token of each
        for sequence in decoding:
            if sequence in self.running:  # unless preempted in favor of an older one
                ids = self._next_ids(sequence, budget + 1, alone=len(decoding) == 1)
                if self._allocate(sequence, sequence.num_computed + len(ids)):
                    decode.append((sequence, ids))
                    budget -= len(ids) - 1
        prefill = []
        for sequence in self.running:  # the oldest prompt first
            if sequence.num_computed < sequence.prompt_length:
                chunk_end = (sequence.num_computed // PREFILL_CHUNK_TOKENS + 1) * PREFILL_CHUNK_TOKENS
                stop = min(chunk_end, sequence.prompt_length)
                budget -= stop - sequence.num_computed
                if budget < 0:
                    break
                prefill.append((sequence, stop))
        return Batch(prefill, [pair for pair in decode if pair[0] in self.running])

    def remove_finished(self) -> None:
        """Remove sequences that have ended, and free their blocks."""
        for sequence in [sequence for sequence in self.running if sequence.finished]:
            self._remove(sequence)

    def _drop_expired(self) -> None:
        for sequence in [sequence for sequence in self.running if sequence.expired]:
            self._remove(sequence)
        for sequence in [sequence for sequence in self.waiting if sequence.expired]:
            self.waiting.remove(sequence)

    def _remove(self, sequence: SequenceState) -> None:
        self.running.remove(sequence)
        self._pool.free(sequence.block_table)

    def _admit(self) -> None:
        """Start waiting sequences while the pool has room for all of their tokens so far and one more."""
        while self.waiting and len(self.running) < self.max_num_seqs:
            sequence = self.waiting[0]
            prompt = sequence.tokens[: sequence.prompt_length]
            chunk_blocks = PREFILL_CHUNK_TOKENS // self._pool.block_tokens
            num_matched = self._pool.match_prefix(sequence.block_table, prompt, sequence.salt, chunk_blocks)
            if not self._pool.allocate(sequence.block_table, len(sequence.tokens) + 1):
                self._pool.free(sequence.block_table)
                assert self.running, "the pool is empty, so a sequence within the context length must fit"
                return
            self.waiting.popleft()
            sequence.num_computed = num_matched
            self.running.append(sequence)

    def _next_ids(self, sequence: SequenceState, max_tokens: int, *, alone: bool) -> Sequence[int]:
        """The tokens to compute next: those known but not computed, or the last one and proposals after it."""
        ids = sequence.tokens[sequence.num_computed :]
        if len(ids) > 1:  # the sequence was preempted
            return ids[: min(max_tokens, self._max_tokens_per_request)]
        if not alone:
            return ids
        return ids + self._speculator.propose(sequence, min(max_tokens - 1, self._context_length - len(sequence.tokens) - 1))

    def _allocate(self, sequence: SequenceState, num_tokens: int) -> bool:
        """Give a sequence room for `num_tokens`, preempting the youngest others; False if it was preempted itself."""
        while not self._pool.allocate(sequence.block_table, num_tokens):
            youngest = self.running[-1]
            self._preempt(youngest)
            if youngest is sequence:
                return False
        return True

    def _preempt(self, sequence: SequenceState) -> None:
        """Free a sequence's blocks and put it first in the queue; its tokens are computed again later."""
        self._remove(sequence)
        sequence.num_computed = 0
        self.waiting.appendleft(sequence)
