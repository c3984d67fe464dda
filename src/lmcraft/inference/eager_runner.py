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
from lmcraft.inference.packed_model import DecodeToken, PackedModel, can_pack
from lmcraft.inference.paged_cache import PagedCache
from lmcraft.inference.prompt_chunk import PromptChunk
from lmcraft.inference.request import SequenceState
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
        packed = None if chunk.adapter else self._packed
        return self._compute(self._models[chunk.adapter] if packed is None else packed.for_prompts, chunk)

    def _compute(self, model: Transformer | PackedModel, chunk: PromptChunk) -> NextTokenLogits:
        hidden_1TC = self._hidden_states(model, chunk.table, chunk.num_computed, chunk.ids)
        logits_TV = model.logits(hidden_1TC[:, -1:])[0]
        if (
            chunk.all_rows and len(chunk.ids) > 1
        ):  # the last row on its own, because a product of more rows may round differently
            logits_TV = torch.cat((model.logits(hidden_1TC[:, :-1])[0], logits_TV))
        return NextTokenLogits.of(logits_TV.float().cpu())

    def hidden_states(self, table: BlockTable, num_computed: int, ids: Sequence[int], adapter: str) -> Tensor:
        return self._hidden_states(self._models[adapter], table, num_computed, ids)[0].cpu()

    def _hidden_states(
        self, model: Transformer | PackedModel, table: BlockTable, num_computed: int, ids: Sequence[int]
    ) -> Tensor:
        ids_1T = torch.tensor([ids], device=self.pool.device)
        if isinstance(model, Transformer) and model.config.bidirectional:  # the whole text at once
            return model.hidden_states(ids_1T)
        return model.hidden_states(ids_1T, cache=PagedCache(self.pool, table, num_computed, len(ids)))

    def decode(
        self, work: Sequence[tuple[SequenceState, Sequence[int]]]
    ) -> Iterator[tuple[SequenceState, Sequence[int], NextTokenLogits, int]]:
        """Sequences with adapters, and those of models that cannot decode rows together, are computed one by one, as chunks
        of a prompt are."""
        packed, together = self._packed, []
        for sequence, ids in work:
            adapter = sequence.request.adapter
            if packed is not None and packed.decodes_together and not adapter:
                together.append((sequence, ids))
                continue
            model = self._models[adapter] if packed is None or adapter else packed
            chunk = PromptChunk(sequence.block_table, sequence.num_computed, ids[:1], adapter)
            yield sequence, ids[:1], self._compute(model, chunk), 0
        size = packed.max_rows if packed is not None else 1
        for start in range(0, len(together), size):
            yield from self._decode_together(together[start : start + size])

    def _decode_together(
        self, work: Sequence[tuple[SequenceState, Sequence[int]]]
    ) -> Iterator[tuple[SequenceState, Sequence[int], NextTokenLogits, int]]:
        assert self._packed
        tokens = [DecodeToken(ids[0], sequence.num_computed, sequence.block_table) for sequence, ids in work]
        logits = NextTokenLogits.of(self._packed.decode(tokens))
        for row, (sequence, ids) in enumerate(work):
            yield sequence, ids[:1], logits, row

    @cached_property
    def _packed(self) -> PackedModel | None:
        """Built by the first step, because a native runner may need none."""
        model = self._models[""]
        return PackedModel(model, self.pool) if can_pack(model) and not model.config.bidirectional else None
