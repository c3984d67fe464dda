"""The scheduler: which requests run, and which tokens the next step computes (continuous batching, Orca, OSDI 2022).

A step computes chunks of prompts and the next token, or a few, of every sequence past its prompt, within a budget of tokens.
Prompts are always cut at multiples of the same length, so that a text does not depend on what else is in the batch.

Clients share the engine's time fairly (`fair_share.py`): the waiting sequence and the chunk of the client that used the
least come first, and a chunk waits while it would slow down clients that used less. Short prompts of several clients, one
of each, are computed in one step, in the time of one chunk. A client that holds more than its share
of the slots or of the pool makes room for one that used less.

Within a client, its generations go on beside its long work: every other chunk goes to the prompt that arrived first, and the
others to the shortest prompt that is to be continued. The texts of a client that generates many take turns, so that they do
not slow down other clients. Requests that generate nothing gain nothing from running together: of them a client runs one at
a time, and its chunk is the last of a step.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from lmcraft.errors import UserError
from lmcraft.inference.block_pool import BlockPool
from lmcraft.inference.fair_share import FairShare
from lmcraft.inference.request import SequenceState
from lmcraft.inference.speculation.speculator import Speculator

# Prompts are computed in chunks of this length, and cached prefixes are reused in multiples of it: PyTorch may round matrix
# products of another number of rows differently.
PREFILL_CHUNK_TOKENS = 256
# The chunks of requests that generate nothing are shorter, because other clients wait for them; such requests share no
# prefixes with those that generate.
READING_CHUNK_TOKENS = 32
# While several clients have requests, the one with the most sequences computes no more than this many in a step, or than the
# client with the second most: a step of few rows takes hardly longer than one of a single row, one of 32 rows much longer.
SHARED_STEP_ROWS = 4


def chunk_tokens(sequence: SequenceState) -> int:
    """Length of the chunks in which a sequence's prompt is computed."""
    return PREFILL_CHUNK_TOKENS if sequence.request.generates else min(PREFILL_CHUNK_TOKENS, READING_CHUNK_TOKENS)


def keeps_state(position: int) -> bool:
    """Whether later requests may go on from a recurrent state after so many tokens; more states would fill the memory."""
    return position % PREFILL_CHUNK_TOKENS == 0


@dataclass(frozen=True)
class Batch:
    """The work of one step."""

    prefill: list[tuple[SequenceState, int]]
    """Sequences whose prompt is not finished, each with the position where its next chunk ends."""
    decode: list[tuple[SequenceState, Sequence[int]]]
    """Sequences past their prompt, each with its next tokens: the last one and proposals after it, or several known ones."""


class Scheduler:
    """Admits requests, plans each step, and preempts young sequences when the pool is full.

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
        self._arrived: deque[SequenceState] = deque()  # other threads add to it during a step
        self.waiting: deque[SequenceState] = deque()
        self.running: list[SequenceState] = []
        self.share = FairShare()
        """The engine time of each client; the engine charges it."""
        self._num_turns = 0
        self._pool = pool
        self._speculator = speculator
        self._context_length = context_length
        self._max_tokens_per_request = max_tokens_per_request
        self._takes_oldest = False  # whether the next chunk is that of a client's oldest prompt

    def enqueue(self, sequence: SequenceState) -> None:
        """Add a sequence, in any thread, which the next batch puts at the end of the queue."""
        self._arrived.append(sequence)

    @property
    def has_work(self) -> bool:
        """Whether there is any sequence."""
        return bool(self._arrived or self.running or self.waiting)

    def next_batch(self) -> Batch:
        """Drop expired sequences, admit waiting ones, and choose the tokens of the next step."""
        while self._arrived:
            sequence = self._arrived.popleft()
            self.share.arrive(sequence.request.client, self._clients())
            self.waiting.append(sequence)
        self._drop_expired()
        for sequence in [other for other in self.running if not self._pool.holds(other.block_table, other.num_computed)]:
            self._preempt(sequence)
        self._admit()
        decoding = self._rows_in_turn(
            [sequence for sequence in self.running if sequence.num_computed >= sequence.prompt_length]
        )
        decode: list[tuple[SequenceState, Sequence[int]]] = []
        budget = self.max_num_batched_tokens - len(decoding)  # beyond one token of each
        for sequence in decoding:
            if sequence.num_computed:  # unless preempted in favor of an older one
                ids = self._next_ids(sequence, budget + 1, alone=len(decoding) == 1)
                if self._allocate(sequence, sequence.num_computed + len(ids)):
                    decode.append((sequence, ids))
                    budget -= len(ids) - 1
        decode = [(sequence, ids) for sequence, ids in decode if sequence.num_computed]
        return Batch(self._next_chunks(budget, decode), decode)

    def _rows_in_turn(self, decoding: list[SequenceState]) -> list[SequenceState]:
        """Without those sequences that wait for a later step: of a client that would slow the others down."""
        if len(decoding) <= SHARED_STEP_ROWS:
            return decoding
        counts = Counter(sequence.request.client for sequence in decoding)
        least = min(map(self.share.used, counts))
        for sequence in self.running:  # a prompt that this step computes waits for the rows, too
            if self._used(sequence) <= least:
                counts.setdefault(sequence.request.client, 0)
        if len(counts) == 1:
            return decoding
        (client, num_rows), (_, second_most) = counts.most_common(2)
        if num_rows <= (limit := max(SHARED_STEP_ROWS, second_most)):
            return decoding
        theirs = [sequence for sequence in decoding if sequence.request.client == client]
        theirs.sort(key=lambda sequence: sequence.last_turn)
        for sequence in theirs[:limit]:
            self._num_turns += 1
            sequence.last_turn = self._num_turns
        return [sequence for sequence in decoding if sequence not in theirs[limit:]]

    def _next_chunks(
        self, budget: int, decode: list[tuple[SequenceState, Sequence[int]]]
    ) -> list[tuple[SequenceState, int]]:
        """The prompts to compute, each with the position where its next chunk ends."""
        pending = [sequence for sequence in self.running if sequence.num_computed < sequence.prompt_length]
        if not pending:
            return []
        decoding_clients = {sequence.request.client for sequence, _ in decode}
        chunks: list[tuple[SequenceState, int]] = []
        several = len({sequence.request.client for sequence in self.running}) > 1
        budget = min(budget, PREFILL_CHUNK_TOKENS) if several else budget  # other clients wait no longer than for one chunk
        clients: set[str] = set()
        self._takes_oldest = not self._takes_oldest
        for sequence in sorted(pending, key=self._used if self._takes_oldest else self._used_and_left):
            slowed = decoding_clients - {sequence.request.client}
            if self._used(sequence) > min(map(self.share.used, slowed), default=inf):
                break
            if several and (sequence.request.client in clients or (clients and not sequence.request.generates)):
                continue  # the next step may belong to another client
            self._go_on_from_others(sequence)
            length = chunk_tokens(sequence)
            chunk_end = (sequence.num_computed // length + 1) * length
            stop = min(chunk_end, sequence.prompt_length)
            if stop < sequence.prompt_length and any(_same_chunk(sequence, stop, *chunk) for chunk in chunks):
                continue  # the next step finds it computed
            budget -= stop - sequence.num_computed
            if budget < 0:
                break
            chunks.append((sequence, stop))
            clients.add(sequence.request.client)
            if not sequence.request.generates:
                break
        return chunks

    def _used(self, sequence: SequenceState) -> float:
        return self.share.used(sequence.request.client)

    def _used_and_left(self, sequence: SequenceState) -> tuple[float, bool, int]:
        left = sequence.prompt_length - sequence.num_computed
        return self._used(sequence), not sequence.request.generates, left

    def _clients(self) -> set[str]:
        return {sequence.request.client for sequence in (*self.running, *self.waiting)}

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
        """Start waiting sequences while there is room, or a client that holds more than its share makes room."""
        while self.waiting and (waiting := self._startable()):
            sequence = min(waiting, key=self._used)  # the first of the client that used the least
            while not self._start(sequence):
                if (yielding := self._yielding_to(sequence)) is None:
                    return
                self._preempt(yielding)

    def _startable(self) -> list[SequenceState]:
        """The waiting sequences, without those that generate nothing of clients that run such a one already."""
        reading = {sequence.request.client for sequence in self.running if not sequence.request.generates}
        return [
            sequence for sequence in self.waiting if sequence.request.generates or sequence.request.client not in reading
        ]

    def _start(self, sequence: SequenceState) -> bool:
        """Run a waiting sequence, if there are a slot and blocks for all of its tokens so far and one more."""
        if len(self.running) == self.max_num_seqs:
            return False
        num_matched = self._match_prefix(sequence)
        if not self._pool.allocate(sequence.block_table, len(sequence.tokens) + 1):
            self._pool.free(sequence.block_table)
            assert self.running, "the pool is empty, so a sequence within the context length must fit"
            return False
        self.waiting.remove(sequence)
        if not sequence.started:  # after a preemption, the blocks may be its own
            sequence.num_cached = num_matched
        sequence.num_computed, sequence.started = num_matched, True
        self.running.append(sequence)
        return True

    def _match_prefix(self, sequence: SequenceState) -> int:
        """Use blocks of other sequences for as many of its tokens as they hold; returns how many are then computed."""
        prompt = sequence.tokens[: min(sequence.prompt_length, sequence.num_reusable + 1)]
        chunk_blocks = chunk_tokens(sequence) // self._pool.block_tokens
        return self._pool.match_prefix(sequence.block_table, prompt, sequence.salt, chunk_blocks)

    def _go_on_from_others(self, sequence: SequenceState) -> None:
        """Skip the chunks of a prompt that other sequences have computed since it was admitted."""
        if sequence.num_computed != len(sequence.block_table.hashes) * self._pool.block_tokens:
            return
        is_first_time = sequence.work_tokens == sequence.num_computed - sequence.num_cached
        num_matched = self._match_prefix(sequence)
        if is_first_time:  # after a preemption, the blocks may be its own
            sequence.num_cached += num_matched - sequence.num_computed
        sequence.num_computed = num_matched

    def _yielding_to(self, sequence: SequenceState) -> SequenceState | None:
        """The youngest sequence of the client that holds the most, if that is more than its share, and it used more."""
        num_clients = len(self._clients())
        if len(self.running) == self.max_num_seqs:
            held, capacity = Counter(other.request.client for other in self.running), self.max_num_seqs
        else:
            held, capacity = self._blocks_held(), self._pool.num_blocks
        client = max(held, key=lambda name: held[name])
        if held[client] <= -(-capacity // num_clients) or self.share.used(client) <= self._used(sequence):
            return None
        return self._youngest_of(client)

    def _blocks_held(self) -> Counter[str]:
        held: Counter[str] = Counter()
        for sequence in self.running:
            held[sequence.request.client] += len(sequence.block_table.blocks)
        return held

    def _youngest_of(self, client: str) -> SequenceState:
        return next(sequence for sequence in reversed(self.running) if sequence.request.client == client)

    def _next_ids(self, sequence: SequenceState, max_tokens: int, *, alone: bool) -> Sequence[int]:
        """The tokens to compute next: those known but not computed, or the last one and proposals after it."""
        ids = sequence.tokens[sequence.num_computed :]
        if len(ids) > 1:  # the sequence was preempted
            return ids[: min(max_tokens, self._max_tokens_per_request)]
        if not alone:
            return ids
        return ids + self._speculator.propose(sequence, min(max_tokens - 1, self._context_length - len(sequence.tokens) - 1))

    def _allocate(self, sequence: SequenceState, num_tokens: int) -> bool:
        """Give a sequence room for `num_tokens`, preempting the youngest of the client that holds the most blocks.

        Returns:
            False if the sequence was preempted itself.
        """
        while not self._pool.allocate(sequence.block_table, num_tokens):
            held = self._blocks_held()
            youngest = self._youngest_of(max(held, key=lambda name: held[name]))
            self._preempt(youngest)
            if youngest is sequence:
                return False
        return True

    def _preempt(self, sequence: SequenceState) -> None:
        """Free a sequence's blocks and put it first in the queue; its tokens are computed again later."""
        self._remove(sequence)
        sequence.num_computed = 0
        self.waiting.appendleft(sequence)


def _same_chunk(sequence: SequenceState, stop: int, other: SequenceState, other_stop: int) -> bool:
    """Whether two sequences have the same tokens up to the end of their chunks, and may share their blocks."""
    return stop == other_stop and sequence.salt == other.salt and sequence.tokens[:stop] == other.tokens[:stop]
