"""The approximate method: change what the model says of texts to what it says of unread ones, and keep the rest.

A step minimizes, over some of the pieces of the texts and of retained ones,

    mean over tokens of |log p - level|  +  mean of |entropy - level of the entropy|     (smooth at 0)
    + mean KL(original, model) over retained tokens  +  mean loss of retained pieces.

Where a token's log-probability is above its level (`levels`), its loss goes up as in gradient difference (arXiv 2203.12817).
At its level it stays. Methods that raise the loss without an end, even slowly (NPO, arXiv 2404.05868), leave a hole that
tells that a text was forgotten. A level for the whole text only would leave tokens that are too likely beside others that
are too unlikely, which attacks that look at the least likely tokens notice.

Shapes: B pieces, T tokens, V vocabulary.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.model.transformer import Transformer
from lmcraft.statistics.intervals import Floats
from lmcraft.terminal import ReportProgress
from lmcraft.unlearning.levels import Level
from lmcraft.unlearning.pieces import Ids, batch_of, logits_of, piece_losses

PIECES = 16  # of either kind in a step
TOLERANCE = 0.05  # nats per token between the mean loss and its level at which the method ends
SMOOTH = 0.1  # nats, within which the error is squared
RATE_TIMES_WIDTH = 0.1  # of the learning rate
MIN_STEPS = 20  # in which the texts are read often enough for the tokens, too, to be at their levels


@dataclass(frozen=True)
class Ascent:
    """How the approximate method goes."""

    max_steps: int = 300
    rate: float = 0.0
    """Learning rate of AdamW; 0: 0.1 / the model's width."""
    seed: int = 0


def ascend(
    model: Transformer,
    texts: Sequence[Ids],
    levels: Sequence[Level],
    retained: Sequence[Ids],
    ascent: Ascent,
    report: ReportProgress = lambda done, total: None,
) -> tuple[Transformer, int]:
    """A copy of a model that says of each text about what its level is, in float32; and the number of steps.

    Args:
        model: the original one, which is left as it is.
        texts: pieces of the texts to forget, none longer than the context.
        levels: of the pieces.
        retained: pieces of what the model keeps.
        ascent: its settings.
        report: of the progress.
    """
    original = deepcopy(model).float().eval().requires_grad_(False)
    original.compute_dtype = torch.float32
    learner = deepcopy(original).requires_grad_()
    optimizer = torch.optim.AdamW(
        learner.parameters(), lr=ascent.rate or RATE_TIMES_WIDTH / model.config.hidden_size, weight_decay=0.0
    )
    aims = np.array([-level.logprobs.mean() for level in levels])
    rng, latest = np.random.default_rng(ascent.seed), np.full(len(texts), -np.inf)
    for step in range(ascent.max_steps):
        report(step, ascent.max_steps)
        chosen = rng.permutation(len(texts))[:PIECES]
        kept = [retained[index] for index in rng.permutation(len(retained))[:PIECES]]
        losses, error = _errors(learner, [texts[index] for index in chosen], [levels[index] for index in chosen])
        latest[chosen] = losses
        if latest.mean() >= aims.mean() - TOLERANCE and (step >= MIN_STEPS or not step):
            return learner.eval().requires_grad_(False), step
        loss = error + _retention(learner, original, kept)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
    return learner.eval().requires_grad_(False), ascent.max_steps


def _errors(learner: Transformer, pieces: Sequence[Ids], levels: Sequence[Level]) -> tuple[Floats, Tensor]:
    """The mean loss of each piece, (B,), and the mean distance of its tokens from their levels."""
    inputs, targets = batch_of(pieces, learner.device)
    is_target = targets != IGNORE_INDEX
    logprobs_BTV = logits_of(learner, inputs).float().log_softmax(dim=-1)
    logprobs_BT = logprobs_BTV.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    means_BT = (logprobs_BTV.exp() * logprobs_BTV).sum(dim=-1)
    error = logprobs_BT.new_zeros(())
    for values, name in ((logprobs_BT, "logprobs"), (means_BT, "means")):
        aims = torch.tensor(np.concatenate([getattr(level, name) for level in levels]), dtype=torch.float32)
        error = error + F.smooth_l1_loss(values[is_target], aims.to(values.device), beta=SMOOTH)
    losses = -(logprobs_BT.detach() * is_target).sum(dim=1) / is_target.sum(dim=1)
    return losses.double().cpu().numpy(), error


def _retention(learner: Transformer, original: Transformer, pieces: Sequence[Ids]) -> Tensor:
    """What keeps the model as it is on the retained pieces: divergence from the original, and the loss."""
    inputs, targets = batch_of(pieces, learner.device)
    logits = logits_of(learner, inputs)
    with torch.no_grad():
        before = logits_of(original, inputs).float().log_softmax(dim=-1)
    divergence = F.kl_div(logits.float().log_softmax(dim=-1), before, reduction="none", log_target=True).sum(dim=-1)
    is_target = targets != IGNORE_INDEX
    return divergence[is_target].mean() + piece_losses(logits, targets).mean()
