"""The logits of a step, with their argmax and logsumexp, which most requests need, computed once.

Shapes: R rows, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
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
        """Each row on its own, because a sum over several rows may be rounded differently."""
        return cls(logits_RV, logits_RV.argmax(dim=-1).tolist(), [float(row.logsumexp(dim=-1)) for row in logits_RV])

    @classmethod
    def cat(cls, parts: Sequence["NextTokenLogits"]) -> "NextTokenLogits":
        """The rows of all parts, in order."""
        argmax = [token_id for part in parts for token_id in part.argmax]
        return cls(torch.cat([part.logits for part in parts]), argmax, [x for part in parts for x in part.logsumexp])

    def row(self, number: int) -> "NextTokenLogits":
        """One row."""
        rows = slice(number, number + 1)
        return NextTokenLogits(self.logits[rows], self.argmax[rows], self.logsumexp[rows])

    def copy(self) -> "NextTokenLogits":
        """A copy that is valid after the next step."""
        return NextTokenLogits(self.logits.clone(), self.argmax, self.logsumexp)

    def top(self, row: int, count: int) -> tuple[tuple[int, float], ...]:
        """The `count` most likely tokens of a row, each with its log-probability."""
        if not count:
            return ()
        top = self.logits[row].topk(min(count, self.logits.shape[1]))
        return tuple(zip(top.indices.tolist(), (top.values - self.logsumexp[row]).tolist(), strict=True))
