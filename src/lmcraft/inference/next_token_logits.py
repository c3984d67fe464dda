"""The logits of a step, with their argmax and logsumexp, which most requests need, computed once.

Shapes: R rows, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class NextTokenLogits:
    """Scores of each row's next token.

    The native step reuses the memory of `logits`: read them before the next step. Rows whose logits were not requested hold
    no meaningful values.
    """

    logits: Tensor
    """(R, V), float32."""
    argmax: Sequence[int]
    """The most likely token of each row; the first of several."""
    logsumexp: Sequence[float]
    """logit - logsumexp is the log-probability."""

    @classmethod
    def of(cls, logits_RV: Tensor) -> "NextTokenLogits":
        return cls(logits_RV, logits_RV.argmax(dim=-1).tolist(), logits_RV.logsumexp(dim=-1).tolist())

    def top(self, row: int, count: int) -> tuple[tuple[int, float], ...]:
        """The `count` most likely tokens of a row, each with its log-probability."""
        if not count:
            return ()
        top = self.logits[row].topk(min(count, self.logits.shape[1]))
        return tuple(zip(top.indices.tolist(), (top.values - self.logsumexp[row]).tolist(), strict=True))
