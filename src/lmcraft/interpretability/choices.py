"""Tokens as the views show them: their spelling, and the most likely ones.

Shapes: V vocabulary.
"""

from torch import Tensor

from lmcraft.interpretability.explanation import Choice
from lmcraft.tokenizer.tokenizer import Tokenizer

ROWS_TOGETHER = 2**24  # logits that are computed at a time: 64 MiB in float32


def token_text(tokenizer: Tokenizer, token_id: int) -> str:
    r"""How a token is spelled; the bytes of a part of a character are \xe4\xb8."""
    return tokenizer.token_bytes(token_id).decode("utf-8", "backslashreplace")


def most_likely(logits_V: Tensor, tokenizer: Tokenizer, count: int) -> list[Choice]:
    """The most likely tokens, best first."""
    values, ids = logits_V.float().topk(min(count, len(logits_V)))
    probabilities = (values - logits_V.float().logsumexp(0)).exp()
    return [
        Choice(token_text(tokenizer, token_id), probability, token_id)
        for token_id, probability in zip(ids.tolist(), probabilities.tolist(), strict=True)
    ]


def rows_together(vocab_size: int) -> int:
    """How many tokens' logits are computed at a time."""
    return max(ROWS_TOGETHER // vocab_size, 1)
