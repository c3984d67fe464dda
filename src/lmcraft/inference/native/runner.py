"""The native tier: decodes and reads prompts with the compiled operation.

Adapters that it does not support run in PyTorch, and so does what needs hidden states.

Shapes: T tokens, V vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from lmcraft.inference.block_pool import BlockPool, BlockTable
from lmcraft.inference.eager_runner import EagerRunner
from lmcraft.inference.native.decoder import DecodeRow, NativeDecoder
from lmcraft.inference.native.structs import MAX_PROMPT_ROWS_PER_STEP, MAX_ROWS_PER_STEP
from lmcraft.inference.native.weight_packing import Weights
from lmcraft.inference.next_token_logits import NextTokenLogits
from lmcraft.inference.prompt_chunk import PromptChunk
from lmcraft.inference.request import SequenceState
from lmcraft.inference.thread_tuner import ThreadTuner, one_torch_thread
from lmcraft.model.transformer import Transformer

Work = list[tuple[SequenceState, Sequence[int]]]


class NativeRunner:
    """Runs a model natively over the keys and values in a pool; a `lmcraft.inference.runner.Runner`.

    Args:
        eager: of the same model, adapters and pool.
        model: the base model, on the CPU.
        weights: the type that the native step reads.
        adapters: models with adapters, by name.
    """

    tier: Literal["eager", "native"] = "native"
    max_tokens_per_request = MAX_ROWS_PER_STEP

    def __init__(
        self, eager: EagerRunner, model: Transformer, weights: Weights, adapters: Mapping[str, Transformer]
    ) -> None:
        self._eager = eager
        self._max_threads = torch.get_num_threads()
        self._tuners: dict[int, ThreadTuner] = {}
        """Those of the numbers of rows that were used."""
        self._decoder = NativeDecoder(model, eager.pool, weights, max_threads=self._max_threads, adapters=adapters)

    @property
    def pool(self) -> BlockPool:
        return self._eager.pool

    @property
    def context_length(self) -> int:
        return self._eager.context_length

    def can_verify(self, adapter: str) -> bool:
        return adapter in self._decoder.adapters

    def prefill(self, chunks: Sequence[PromptChunk]) -> Iterator[NextTokenLogits]:
        """A chunk of one token is a step of decoding: a draft computes one at a time."""
        start = 0
        while start < len(chunks):
            chunk = chunks[start]
            stop = start + 1
            if chunk.adapter not in self._decoder.adapters:
                yield from self._eager.prefill([chunk])
            elif len(chunk.ids) == 1:
                with one_torch_thread():
                    yield self._step(_rows_of(chunk))
            elif chunk.all_rows or len(chunk.ids) > MAX_PROMPT_ROWS_PER_STEP:
                yield self._prefill_in_parts(chunk)
            else:
                stop = self._end_of_step(chunks, start)
                rows = [row for chunk in chunks[start:stop] for row in _rows_of(chunk)]
                with one_torch_thread():
                    logits = self._decoder.step(rows, self._max_threads, prompt=True)
                yield from map(logits.row, range(stop - start))
            start = stop

    def _end_of_step(self, chunks: Sequence[PromptChunk], start: int) -> int:
        """How far chunks from the `start`-th on can be computed in one step."""
        stop = num_rows = 0
        for stop in range(start, min(len(chunks), start + MAX_ROWS_PER_STEP)):
            chunk = chunks[stop]
            num_rows += len(chunk.ids)
            alone = chunk.all_rows or len(chunk.ids) == 1 or chunk.adapter not in self._decoder.adapters
            if alone or num_rows > MAX_PROMPT_ROWS_PER_STEP:
                return stop
        return stop + 1

    def _prefill_in_parts(self, chunk: PromptChunk) -> NextTokenLogits:
        """A chunk that is too long for a step, or whose rows all have logits."""
        rows, size = _rows_of(chunk), MAX_ROWS_PER_STEP if chunk.all_rows else MAX_PROMPT_ROWS_PER_STEP
        steps = []
        with one_torch_thread():
            for start in range(0, len(rows), size):
                step = self._decoder.step(rows[start : start + size], self._max_threads, prompt=True)
                steps.append(step.copy() if chunk.all_rows else step)
        return NextTokenLogits.cat(steps) if chunk.all_rows else step

    def hidden_states(self, table: BlockTable, num_computed: int, ids: Sequence[int], adapter: str) -> Tensor:
        return self._eager.hidden_states(table, num_computed, ids, adapter)

    def decode(
        self, work: Sequence[tuple[SequenceState, Sequence[int]]]
    ) -> Iterator[tuple[SequenceState, Sequence[int], NextTokenLogits, int]]:
        steps: list[Work] = []
        for sequence, ids in work:
            if sequence.request.adapter not in self._decoder.adapters:
                yield from self._eager.decode([(sequence, ids)])
            elif steps and sum(len(other) for _, other in steps[-1]) + len(ids) <= MAX_ROWS_PER_STEP:
                steps[-1].append((sequence, ids))
            else:
                steps.append([(sequence, ids)])
        if steps:
            with one_torch_thread():
                for step in steps:
                    logits, first_row = self._step(_decode_rows(step)), 0
                    for sequence, ids in step:
                        yield sequence, ids, logits, first_row
                        first_row += len(ids)

    def _step(self, rows: list[DecodeRow]) -> NextTokenLogits:
        with self._tuner(len(rows)).measure_step() as threads:
            return self._decoder.step(rows, threads)

    def _tuner(self, num_rows: int) -> ThreadTuner:
        """Where all threads are faster for fewer rows, they are for more: only the regular trials check it."""
        if num_rows not in self._tuners:
            self._tuners[num_rows] = ThreadTuner(self._max_threads)
            if any(tuner.uses_all_threads for rows, tuner in self._tuners.items() if rows < num_rows):
                self._tuners[num_rows].skip_trials()
        return self._tuners[num_rows]


def _rows_of(chunk: PromptChunk) -> list[DecodeRow]:
    blocks = torch.tensor(chunk.table.blocks, dtype=torch.int32)
    last, first, adapter = len(chunk.ids) - 1, chunk.num_computed, chunk.adapter
    return [DecodeRow(i, first + n, blocks, chunk.all_rows or n == last, adapter) for n, i in enumerate(chunk.ids)]


def _decode_rows(work: Work) -> list[DecodeRow]:
    rows = []
    for sequence, ids in work:
        blocks = torch.tensor(sequence.block_table.blocks, dtype=torch.int32)
        needs_logits = len(sequence.tokens) - sequence.num_computed <= len(
            ids
        )  # false while a preempted sequence catches up
        adapter, first = sequence.request.adapter, sequence.num_computed
        rows += [DecodeRow(i, first + n, blocks, needs_logits, adapter) for n, i in enumerate(ids)]
    return rows
