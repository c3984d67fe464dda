"""The eager tier: plain PyTorch, on any device.

Shapes: T tokens, C hidden size, V vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from lmcraft.inference.block_pool import BlockPool, BlockTable
from lmcraft.inference.next_token_logits import NextTokenLogits
from lmcraft.inference.paged_cache import PagedCache
from lmcraft.inference.prompt_chunk import PromptChunk
from lmcraft.inference.request import SequenceState
from lmcraft.inference.row_model import DecodeToken, RowModel, can_compute_rows
from lmcraft.model.transformer import Transformer


class EagerRunner:
    """Runs a model, or one of its adapters, over the keys and values in a pool; a `lmcraft.inference.runner.Runner`.

    Args:
        models: by the name of their adapter; "" is the base model.
        pool: of keys and values.
    """

    tier: Literal["eager", "native"] = "eager"
    max_tokens_per_request = 64

    def __init__(self, models: Mapping[str, Transformer], pool: BlockPool) -> None:
        self.pool = pool
        self._models = models

    @property
    def context_length(self) -> int:
        return min(self._models[""].config.max_position_embeddings, self.pool.num_slots)

    def can_verify(self, adapter: str) -> bool:
        return False

    def prefill(self, chunks: Sequence[PromptChunk]) -> Iterator[NextTokenLogits]:
        return map(self._prefill, chunks)

    def _prefill(self, chunk: PromptChunk) -> NextTokenLogits:
        model = self._models[chunk.adapter]
        hidden_1TC = self._hidden_states(chunk.table, chunk.num_computed, chunk.ids, chunk.adapter)
        logits_TV = model.logits(hidden_1TC[:, -1:])[0]
        if (
            chunk.all_rows and len(chunk.ids) > 1
        ):  # the last row on its own, because a product of more rows may round differently
            logits_TV = torch.cat((model.logits(hidden_1TC[:, :-1])[0], logits_TV))
        return NextTokenLogits.of(logits_TV.float().cpu())

    def hidden_states(self, table: BlockTable, num_computed: int, ids: Sequence[int], adapter: str) -> Tensor:
        return self._hidden_states(table, num_computed, ids, adapter)[0].cpu()

    def _hidden_states(self, table: BlockTable, num_computed: int, ids: Sequence[int], adapter: str) -> Tensor:
        model = self._models[adapter]
        cache = PagedCache(self.pool, table, num_computed, len(ids))
        return model.hidden_states(torch.tensor([ids], device=model.device), cache=cache)

    def decode(
        self, work: Sequence[tuple[SequenceState, Sequence[int]]]
    ) -> Iterator[tuple[SequenceState, Sequence[int], NextTokenLogits, int]]:
        """Sequences with adapters are computed one by one, as a chunk of a prompt is."""
        together = [item for item in work if not item[0].request.adapter] if self._row_model else []
        for sequence, ids in work:
            if not together or sequence.request.adapter:
                chunk = PromptChunk(sequence.block_table, sequence.num_computed, ids[:1], sequence.request.adapter)
                yield sequence, ids[:1], self._prefill(chunk), 0
        if self._row_model:
            for start in range(0, len(together), self._row_model.max_rows):
                rows = together[start : start + self._row_model.max_rows]
                tokens = [DecodeToken(ids[0], sequence.num_computed, sequence.block_table) for sequence, ids in rows]
                logits = NextTokenLogits.of(self._row_model.logits(tokens))
                for number, (sequence, ids) in enumerate(rows):
                    yield sequence, ids[:1], logits, number

    @cached_property
    def _row_model(self) -> RowModel | None:
        """Built by the first step, because a native runner may need none."""
        return RowModel(self._models[""], self.pool) if can_compute_rows(self._models[""]) else None
