"""Sequences that grow from one prompt in one batch: several samples, or the candidates of a beam search.

Shapes: B sequences, T tokens of each so far, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lmcraft.inference.damaged_model import damaged_model_error
from lmcraft.inference.kv_cache import KVCache
from lmcraft.model.transformer import Transformer


class SequenceBatch:
    """Sequences of equal length and their key-value cache; the prompt that they share is computed once.

    Args:
        model: in `eval` mode.
        prompt_ids: the prompt that all sequences begin with.
        num_sequences: the batch size, B.
    """

    def __init__(self, model: Transformer, prompt_ids: Sequence[int], num_sequences: int) -> None:
        self.prompt_length = len(prompt_ids)
        self.tokens_BT = torch.tensor([prompt_ids], device=model.device).expand(num_sequences, -1)
        self._model = model
        self._cache = KVCache(model.config)

    def next_logits(self) -> Tensor:
        """The logits of each sequence's next token, (B, V), float32.

        Raises:
            RunError: the model's outputs are not numbers.
        """
        if self._cache.length > 0:
            return self._forward(self.tokens_BT[:, self._cache.length :])
        logits_1V = self._forward(self.tokens_BT[:1])
        num_sequences = len(self.tokens_BT)
        if num_sequences > 1:
            self._cache.reorder(torch.zeros(num_sequences, dtype=torch.long, device=logits_1V.device))
        return logits_1V.expand(num_sequences, -1)

    def extend(self, parents: list[int], ids: list[int]) -> None:
        """Replace the sequences: the n-th becomes sequence parents[n] followed by the token ids[n]."""
        device = self.tokens_BT.device
        if parents != list(range(len(self.tokens_BT))):
            rows = torch.tensor(parents, device=device)
            self.tokens_BT = self.tokens_BT[rows]
            self._cache.reorder(rows)
        self.tokens_BT = torch.cat((self.tokens_BT, torch.tensor(ids, device=device)[:, None]), dim=1)

    def _forward(self, input_ids: Tensor) -> Tensor:
        logits_B1V: Tensor = self._model(input_ids, cache=self._cache, last_only=True)
        logits_BV = logits_B1V[:, 0].float()
        if not bool(logits_BV.logsumexp(dim=-1).isfinite().all()):
            raise damaged_model_error(self._model)
        return logits_BV
