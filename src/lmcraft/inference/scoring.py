"""How likely a model finds a text that exists already: the log-probability of each token, or of whole answers."""

from collections.abc import Sequence

import torch

from lmcraft.inference.engine import Engine


def answer_logprobs(engine: Engine, prompt: Sequence[int], answers: Sequence[Sequence[int]], adapter: str) -> list[float]:
    """The log-probability of each answer after a prompt, a mean over its tokens so that long ones are not worse off."""
    found = []
    for answer in answers:
        logprobs_TV = engine.score([*prompt, *answer], adapter).log_softmax(dim=-1)
        own = logprobs_TV[len(prompt) - 1 : -1].gather(1, torch.tensor(list(answer))[:, None])
        found.append(float(own.mean()))
    return found


def score(
    engine: Engine, ids: Sequence[int], adapter: str, count: int
) -> list[tuple[float | None, tuple[tuple[int, float], ...]]]:
    """The log-probability of each token of a text after those before it, and the `count` likeliest in its place."""
    logprobs_TV = engine.score(ids, adapter).log_softmax(dim=-1)[:-1]
    own = logprobs_TV.gather(1, torch.tensor(ids[1:])[:, None]).squeeze(1).tolist()
    top = logprobs_TV.topk(min(count, logprobs_TV.shape[1]), dim=-1)
    others = [tuple(zip(i, v, strict=True)) for i, v in zip(top.indices.tolist(), top.values.tolist(), strict=True)]
    return [(None, ()), *zip(own, others, strict=True)]
