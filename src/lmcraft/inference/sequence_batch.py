"""The sequences that grow from one prompt: several draws, or the candidates of a beam search.

Shapes: B sequences, T tokens of each so far, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lmcraft.inference.kv_cache import KVCache
from lmcraft.model.transformer import Transformer


class Sequences:
    """Equally long sequences and the model's view of them; the prompt that they share is read once.

    Without a cache every step computes all tokens again: slow, for comparison.
    """

    def __init__(self, model: Transformer, prompt_ids: Sequence[int], copies: int, *, use_cache: bool = True) -> None:
        self.prompt_length = len(prompt_ids)
        self.tokens_BT = torch.tensor([prompt_ids], device=model.device).expand(copies, -1)
        self._model = model
        self._cache = KVCache(model.config) if use_cache else None

    def next_logits(self) -> Tensor:
        """The logits of each sequence's next token, (B, V), float32."""
        if self._cache is None:
            return self._forward(self.tokens_BT)
        if self._cache.length > 0:
            return self._forward(self.tokens_BT[:, self._cache.length :])
        logits_1V = self._forward(self.tokens_BT[:1])
        copies = len(self.tokens_BT)
        if copies > 1:
            self._cache.reorder(torch.zeros(copies, dtype=torch.long, device=logits_1V.device))
        return logits_1V.expand(copies, -1)

    def extend(self, parents: list[int], ids: list[int]) -> None:
        """Go on with len(parents) sequences: the n-th is now sequence parents[n] and the token ids[n] after it."""
        device = self.tokens_BT.device
        if parents != list(range(len(self.tokens_BT))):
            rows = torch.tensor(parents, device=device)
            self.tokens_BT = self.tokens_BT[rows]
            if self._cache is not None:
                self._cache.reorder(rows)
        self.tokens_BT = torch.cat((self.tokens_BT, torch.tensor(ids, device=device)[:, None]), dim=1)

    def _forward(self, input_ids: Tensor) -> Tensor:
        logits_B1V: Tensor = self._model(input_ids, cache=self._cache, last_only=True)
        return logits_B1V[:, 0].float()
