"""Log-probabilities of existing text: of each token of a text, or of answers to a prompt.

Shapes: T tokens, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lmcraft.inference.engine import Engine


@dataclass(frozen=True)
class TokenScore:
    """A token's log-probability after the tokens before it."""

    logprob: float | None
    """None for the first token, which has nothing before it."""
    alternatives: tuple[tuple[int, float], ...] = ()
    """The most likely tokens at this position, each with its log-probability."""


def score_tokens(engine: Engine, ids: Sequence[int], adapter: str = "", *, top_logprobs: int = 0) -> list[TokenScore]:
    """Score each token of a text, with the `top_logprobs` most likely tokens at its position.

    Raises:
        UserError: as in `Engine.score`.
    """
    logprobs_TV = engine.score(ids, adapter).log_softmax(dim=-1)[:-1]
    logprobs = logprobs_TV.gather(1, torch.tensor(ids[1:], dtype=torch.long)[:, None]).squeeze(1).tolist()
    top = logprobs_TV.topk(min(top_logprobs, logprobs_TV.shape[1]), dim=-1)
    alternatives = [tuple(zip(*pair, strict=True)) for pair in zip(top.indices.tolist(), top.values.tolist(), strict=True)]
    return [TokenScore(None), *map(TokenScore, logprobs, alternatives)]


def score_answers(
    engine: Engine, prompt_ids: Sequence[int], answers: Sequence[Sequence[int]], adapter: str = ""
) -> list[float]:
    """The log-probability of each answer to a prompt: the mean over its tokens, so that length does not count against it.

    Raises:
        UserError: as in `Engine.score`.
    """
    scores = []
    for answer in answers:
        logprobs_TV = engine.score([*prompt_ids, *answer], adapter).log_softmax(dim=-1)
        logprobs = logprobs_TV[len(prompt_ids) - 1 : -1].gather(1, torch.tensor(list(answer), dtype=torch.long)[:, None])
        scores.append(float(logprobs.mean()))
    return scores
