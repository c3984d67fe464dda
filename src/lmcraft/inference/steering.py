"""Steering at decoding: logits + strength * (logits of an expert - logits of an anti-expert), DExperts (arXiv 2105.03023).

The expert was fine-tuned on text as wanted, the anti-expert on text as not wanted. A `SteeredSequences` is a logits
processor, so the model itself decodes in any tier; expert and anti-expert read along in PyTorch.

Shapes: B sequences, T tokens of each so far, V vocabulary.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.inference.kv_cache import KVCache
from lmcraft.inference.sampler import keep_top_p
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer.tokenizer import Tokenizer


class Guide(Protocol):
    """A model to steer toward or away from; a `LanguageModel` is one."""

    @property
    def transformer(self) -> Transformer: ...

    @property
    def tokenizer(self) -> Tokenizer: ...


@dataclass(frozen=True)
class Steering:
    """How the logits of a model are changed before a token is drawn.

    Raises:
        UserError: there is no guide, or a number is out of range.
    """

    toward: Guide | None = None
    """The expert; None: the model itself, as in the paper's "anti-only" variant."""
    away: Guide | None = None
    """The anti-expert; None: the model itself."""
    strength: float = 2.0
    """Alpha in eq. 2; 0: none."""
    top_p: float = 0.9
    """Only tokens of the model's own nucleus of this probability can be drawn, so that the guides choose among likely tokens
    (section 2.2); 1: all tokens."""

    def __post_init__(self) -> None:
        if self.toward is None and self.away is None:
            raise UserError("steering has no model to steer by: name one to steer toward, or one to steer away from")
        if not 0 <= self.strength < float("inf"):
            raise UserError(f"steer_strength={self.strength:g} is out of range: use 0 or more; 2 is usual")
        if not 0 < self.top_p <= 1:
            raise UserError(f"steer_top_p={self.top_p:g} is out of range: use a number above 0 and at most 1")

    def check(self, model: Guide) -> None:
        """Raise UserError if a guide cannot read the texts of a model."""
        context = model.transformer.config.max_position_embeddings
        for name, guide in (("steer_toward", self.toward), ("steer_away", self.away)):
            if guide is None:
                continue
            if guide.tokenizer.vocabulary != model.tokenizer.vocabulary:
                raise UserError(
                    f"{name} has other tokens than the model: choose one with the same tokenizer, such as a fine-tuned copy"
                )
            if (length := guide.transformer.config.max_position_embeddings) < context:
                raise UserError(
                    f"{name} reads {length} tokens (max_position_embeddings), and the model writes up to {context}: choose "
                    "one with a context of at least that length"
                )

    def start(self) -> "SteeredSequences":
        """The logits processor of one request, for the sequences that continue its prompt."""
        return SteeredSequences(self)

    def combine(self, logits_BV: Tensor, toward_BV: Tensor, away_BV: Tensor) -> Tensor:
        """The steered logits, (B, V): -inf outside the model's nucleus (eq. 2 and section 2.2)."""
        kept_BV = logits_BV if self.top_p == 1 else keep_top_p(logits_BV, self.top_p)
        return kept_BV + self.strength * (toward_BV - away_BV)


class SteeredSequences:
    """Steers the sequences of one request; a `lmcraft.inference.sampler.LogitsProcessor`."""

    def __init__(self, steering: Steering) -> None:
        self._steering = steering
        guides = (steering.toward, steering.away)
        self._readers = [None if guide is None else Reader(guide.transformer) for guide in guides]

    def __call__(self, tokens_BT: Tensor, logits_BV: Tensor) -> Tensor:
        toward_BV, away_BV = (
            logits_BV if reader is None else _fit(reader.next_logits(tokens_BT), logits_BV) for reader in self._readers
        )
        if None in self._readers:  # the model itself may rule tokens out
            difference = (toward_BV - away_BV).masked_fill(logits_BV.isneginf(), 0)
            toward_BV, away_BV = difference, torch.zeros_like(difference)
        return self._steering.combine(logits_BV, toward_BV, away_BV)


class Reader:
    """A model that reads along with growing sequences, with a key-value cache of its own."""

    def __init__(self, model: Transformer) -> None:
        self._model = model
        self._cache = KVCache(model.config)
        self._read: Tensor | None = None  # (B, T), the tokens in the cache

    @torch.inference_mode()
    def next_logits(self, tokens_BT: Tensor) -> Tensor:
        """The logits of each sequence's next token, (B, V), float32; cheap for tokens that continue the last call's."""
        tokens_BT = tokens_BT.to(self._model.device)
        start = self._recall(tokens_BT)
        new_BT = tokens_BT[:, start:]
        is_shared = start == 0 and bool((tokens_BT == tokens_BT[:1]).all())  # a prompt is read once
        logits_B1V: Tensor = self._model(new_BT[:1] if is_shared else new_BT, cache=self._cache, last_only=True)
        if is_shared and len(tokens_BT) > 1:
            self._cache.reorder(torch.zeros(len(tokens_BT), dtype=torch.long, device=tokens_BT.device))
        self._read = tokens_BT
        return logits_B1V[:, 0].float().expand(len(tokens_BT), -1)

    def _recall(self, tokens_BT: Tensor) -> int:
        """Make the cache that of these sequences' first tokens; returns how many."""
        if self._read is None:
            return 0
        length = min(self._read.shape[1], tokens_BT.shape[1] - 1)
        same_BR = (tokens_BT[:, None, :length] == self._read[None, :, :length]).all(dim=2)
        if not length or not bool(same_BR.any(dim=1).all()):
            self._cache = KVCache(self._model.config)
            return 0
        parents_B = same_BR.int().argmax(dim=1)
        if parents_B.tolist() != list(range(len(self._read))):
            self._cache.reorder(parents_B)
        return self._cache.truncate(length)


def _fit(guide_BV: Tensor, logits_BV: Tensor) -> Tensor:
    """Logits of a guide on the model's device and for its vocabulary, which may be padded to another size."""
    guide_BV, V = guide_BV.to(logits_BV), logits_BV.shape[1]
    if guide_BV.shape[1] >= V:
        return guide_BV[:, :V]
    return torch.nn.functional.pad(guide_BV, (0, V - guide_BV.shape[1]), value=float(guide_BV.min()))
