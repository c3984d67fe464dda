"""The native tier: decodes with the compiled operation, and uses PyTorch where that is faster.

Prompts of models whose weights are not quantized run in PyTorch, which multiplies many rows faster; so do adapters that the
compiled operation does not support.

Shapes: T tokens, V vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from lmcraft.inference.block_pool import BlockPool, BlockTable
from lmcraft.inference.eager_runner import EagerRunner
from lmcraft.inference.native.decoder import DecodeRow, NativeDecoder
from lmcraft.inference.native.structs import MAX_ROWS_PER_STEP
from lmcraft.inference.native.weight_packing import Weights
from lmcraft.inference.next_token_logits import NextTokenLogits
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
        self._prefills_natively = weights in ("int8", "int4")
        max_threads = torch.get_num_threads()
        self._tuners = {rows: ThreadTuner(max_threads) for rows in range(1, MAX_ROWS_PER_STEP + 1)}
        self._decoder = NativeDecoder(model, eager.pool, weights, max_threads=max_threads, adapters=adapters)

    @property
    def pool(self) -> BlockPool:
        return self._eager.pool

    @property
    def context_length(self) -> int:
        return self._eager.context_length

    def can_verify(self, adapter: str) -> bool:
        return adapter in self._decoder.adapters

    def step_seconds(self, num_rows: int) -> float:
        return self._tuners[num_rows].step_seconds

    def prefill(
        self, table: BlockTable, num_computed: int, ids: Sequence[int], adapter: str, *, all_rows: bool = False
    ) -> NextTokenLogits:
        if adapter not in self._decoder.adapters or not (len(ids) == 1 or self._prefills_natively):
            return self._eager.prefill(table, num_computed, ids, adapter, all_rows=all_rows)
        blocks = torch.tensor(table.blocks, dtype=torch.int32)
        last, steps = len(ids) - 1, []
        with one_torch_thread():
            for start in range(0, len(ids), MAX_ROWS_PER_STEP):
                numbers = range(start, min(start + MAX_ROWS_PER_STEP, len(ids)))
                rows = [DecodeRow(ids[n], num_computed + n, blocks, all_rows or n == last, adapter) for n in numbers]
                step = self._step(rows)
                steps.append(step.copy() if all_rows else step)
        return NextTokenLogits.cat(steps) if all_rows else step

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
        with self._tuners[len(rows)].measure_step() as threads:
            return self._decoder.step(rows, threads)


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
