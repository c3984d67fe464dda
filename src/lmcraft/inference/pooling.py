"""A text as one vector: the last hidden state of its last token, or the mean over its tokens, computed in chunks.

Shapes: T tokens, C hidden size.
"""

from typing import Literal

from torch import Tensor

Pooling = Literal["last", "mean"]


class HiddenStatePool:
    """Collects the hidden states of a text, after the final norm, chunk by chunk."""

    def __init__(self, pooling: Pooling) -> None:
        self._pooling = pooling
        self._total: Tensor | None = None
        self.num_tokens = 0
        """Number of tokens collected."""

    def add(self, hidden_TC: Tensor, position: int) -> None:
        """Add the states of the tokens from `position` on; those collected before are skipped."""
        new_TC = hidden_TC[max(0, self.num_tokens - position) :].float()
        if len(new_TC) == 0:
            return
        self.num_tokens += len(new_TC)
        if self._pooling == "last":
            self._total = new_TC[-1].clone()
        else:
            total_C = new_TC.sum(dim=0)
            self._total = total_C if self._total is None else self._total + total_C

    @property
    def vector(self) -> Tensor:
        """The pooled state, (C,), float32."""
        assert self._total is not None, "no tokens were collected"
        return self._total if self._pooling == "last" else self._total / self.num_tokens
