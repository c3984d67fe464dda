"""Scores of existing text: the log-probability of each of its tokens, and the most likely tokens at each position.

Shapes: T positions, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lmcraft.inference.next_token_logits import NextTokenLogits


@dataclass(frozen=True)
class TokenScore:
    """A token's log-probability after the tokens before it."""

    logprob: float
    rank: int
    """How likely it is among the tokens of the vocabulary; 1: the most likely."""
    alternatives: tuple[tuple[int, float], ...] = ()
    """The most likely tokens at this position, each with its log-probability."""


def score_next_tokens(
    logits: NextTokenLogits, first_row: int, next_ids: Sequence[int], top_logprobs: int
) -> list[TokenScore]:
    """Score the token that follows each row from `first_row` on, with the `top_logprobs` most likely tokens there."""
    rows = slice(first_row, first_row + len(next_ids))
    logits_TV, logsumexp_T1 = logits.logits[rows], torch.tensor(logits.logsumexp[rows])[:, None]
    next_logits_T1 = logits_TV.gather(1, torch.tensor(next_ids)[:, None])
    logprobs = (next_logits_T1 - logsumexp_T1).squeeze(1).tolist()
    ranks = ((logits_TV > next_logits_T1).sum(dim=1) + 1).tolist()
    if not top_logprobs:
        return [TokenScore(logprob, rank) for logprob, rank in zip(logprobs, ranks, strict=True)]
    top = logits_TV.topk(min(top_logprobs, logits_TV.shape[1]), dim=1)
    top_logprobs_TK = (top.values - logsumexp_T1).tolist()
    pairs = [tuple(zip(*row, strict=True)) for row in zip(top.indices.tolist(), top_logprobs_TK, strict=True)]
    return [TokenScore(*score) for score in zip(logprobs, ranks, pairs, strict=True)]
