"""Relearning: a model that only hides a text learns it again faster than one that never read it (arXiv 2406.13356).

The model is trained on the first halves of texts, and the loss of the second halves is measured on the way.

Shapes: K measured steps, N texts.
"""

from collections.abc import Sequence
from copy import deepcopy
from itertools import islice
from math import sqrt

import numpy as np
import torch

from lmcraft.audits.privacy.membership import score_tokens
from lmcraft.model.transformer import Transformer
from lmcraft.statistics.distributions import t_quantile
from lmcraft.statistics.intervals import UPPER, Floats, Metric, mean_interval
from lmcraft.unlearning.pieces import Ids, batch_of, cut, logits_of, piece_losses
from lmcraft.unlearning.results import Relearning

PIECES = 16  # of a step
RATE_TIMES_WIDTH = 0.02  # of the learning rate
MEASUREMENTS = 5
MIN_TOKENS, MAX_TEXTS = 8, 50  # tokens of a text with two halves, and texts


def relearn(model: Transformer, texts: Sequence[Ids], steps: int, *, seed: int = 0) -> Floats:
    """The loss of the second half of each text, after its first half, while a copy of the model learns the first halves.

    Args:
        model: it is left as it is.
        texts: of at least `MIN_TOKENS` tokens each.
        steps: of AdamW.
        seed: of the order.

    Returns:
        (K, N) nats per token, at `measured_steps(steps)`.
    """
    learner = deepcopy(model).float().eval().requires_grad_()
    learner.compute_dtype = torch.float32
    pieces = cut([ids[: len(ids) // 2] for ids in texts], learner.config.max_position_embeddings - 1)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=RATE_TIMES_WIDTH / learner.config.hidden_size, weight_decay=0.0)
    rng, measured, rows = np.random.default_rng(seed), measured_steps(steps), []
    waiting: list[int] = []
    for step in range(steps + 1):
        if step in measured:
            rows.append(_second_halves(learner, texts))
        if step == steps:
            break
        while len(waiting) < PIECES:
            waiting += rng.permutation(len(pieces)).tolist()
        chosen, waiting = waiting[:PIECES], waiting[PIECES:]
        inputs, targets = batch_of([pieces[index] for index in chosen], learner.device)
        loss = piece_losses(logits_of(learner, inputs), targets).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
    return np.array(rows)


def measured_steps(steps: int) -> list[int]:
    """The steps at which the loss is measured, with the first and the last."""
    return sorted({round(steps * part / MEASUREMENTS) for part in range(MEASUREMENTS + 1)})


def _second_halves(model: Transformer, texts: Sequence[Ids]) -> list[float]:
    scores = score_tokens(model, texts)
    return [-float(score.logprobs[len(ids) // 2 - 1 :].mean()) for score, ids in zip(scores, texts, strict=True)]


def compare_relearning(
    unlearned: Transformer,
    retrained: Transformer | None,
    texts: Sequence[Ids],
    unseen: Sequence[Ids],
    steps: int,
    *,
    seed: int = 0,
) -> Relearning | None:
    """Relearn texts by the unlearned model, and beside it by the retrained one; without it, learn as many unseen
    texts instead. None if no text has two halves.
    """
    texts = [ids for ids in texts if len(ids) >= MIN_TOKENS][:MAX_TEXTS]
    unseen = list(islice((ids for ids in unseen if len(ids) >= MIN_TOKENS), max(len(texts), MIN_TOKENS)))
    if not texts or not steps:
        return None
    ours_KN = relearn(unlearned, texts, steps, seed=seed)
    curves = {"unlearned": ours_KN.mean(axis=1).tolist()}
    if retrained is not None:
        theirs_KN = relearn(retrained, texts, steps, seed=seed)
        curves["retrained"] = theirs_KN.mean(axis=1).tolist()
        differences = [mean_interval(ours - theirs) for ours, theirs in zip(ours_KN, theirs_KN, strict=True)]
        return Relearning(measured_steps(steps), curves, differences, "retrained")
    if not unseen:
        return None
    theirs_KN = relearn(unlearned, unseen, steps, seed=seed)
    curves["unseen"] = theirs_KN.mean(axis=1).tolist()
    changes = [(ours - ours_KN[0], theirs - theirs_KN[0]) for ours, theirs in zip(ours_KN, theirs_KN, strict=True)]
    return Relearning(measured_steps(steps), curves, [_difference(*pair) for pair in changes], "unseen")


def _difference(first: Floats, second: Floats) -> Metric:
    """Of two means, with Welch's interval."""
    value = float(first.mean() - second.mean())
    if len(first) < 2 or len(second) < 2:
        return Metric(value)
    parts = [float(values.var(ddof=1)) / len(values) for values in (first, second)]
    if not sum(parts):
        return Metric(value, value, value)
    degrees = sum(parts) ** 2 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True))
    half = t_quantile(UPPER, degrees) * sqrt(sum(parts))
    return Metric(value, value - half, value + half)
