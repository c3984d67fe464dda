"""The approximate method: raise the loss of texts to the level of unread ones, and keep what the model says of others.

A step minimizes, over some of the pieces of the texts and of retained ones,

    mean of |loss(piece) - level(piece)|, smooth at 0  +  retention * mean KL(original, model) over retained tokens
                                                       +  mean loss of retained pieces.

Far below its level, a piece's loss goes up as in gradient difference (arXiv 2203.12817). At its level it stays, so the model
does not forget more than a model would lack that never read it. Methods that raise the loss without an end, even slowly
(NPO, arXiv 2404.05868), leave a hole that tells that a text was forgotten.

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
from lmcraft.unlearning.pieces import Ids, batch_of, logits_of, piece_losses

PIECES = 16  # of either kind in a step
TOLERANCE = 0.05  # nats per token between the mean loss and the mean level at which the method ends
SMOOTH = 0.1  # nats, within which the error is squared
RETENTION = 1.0


@dataclass(frozen=True)
class Ascent:
    """How the approximate method goes."""

    max_steps: int = 300
    rate: float = 0.0
    """Learning rate of AdamW; 0: 0.02 / the model's width."""
    seed: int = 0


def rate_for(model: Transformer) -> float:
    """The learning rate of AdamW for a few steps on few texts."""
    return 0.02 / model.config.hidden_size


def ascend(
    model: Transformer,
    texts: Sequence[Ids],
    levels: Floats,
    retained: Sequence[Ids],
    ascent: Ascent,
    report: ReportProgress = lambda done, total: None,
) -> tuple[Transformer, int]:
    """A copy of a model whose loss of each text is about its level, in float32; and the number of steps.

    Args:
        model: the original one, which is left as it is.
        texts: pieces of the texts to forget, none longer than the context.
        levels: the loss that each should have, (N,), in nats per token.
        retained: pieces of what the model keeps.
        ascent: its settings.
        report: of the progress.
    """
    original = deepcopy(model).float().eval().requires_grad_(False)
    original.compute_dtype = torch.float32
    learner = deepcopy(original).requires_grad_()
    optimizer = torch.optim.AdamW(learner.parameters(), lr=ascent.rate or rate_for(model), weight_decay=0.0)
    rng, latest = np.random.default_rng(ascent.seed), np.full(len(texts), -np.inf)
    for step in range(ascent.max_steps):
        report(step, ascent.max_steps)
        chosen = rng.permutation(len(texts))[:PIECES]
        kept = [retained[index] for index in rng.permutation(len(retained))[:PIECES]]
        inputs, targets = batch_of([texts[index] for index in chosen], learner.device)
        losses = piece_losses(logits_of(learner, inputs), targets)
        latest[chosen] = losses.detach().cpu().numpy()
        if latest.mean() >= levels.mean() - TOLERANCE:
            return learner.eval().requires_grad_(False), step
        aims = torch.as_tensor(levels[chosen], dtype=torch.float32, device=learner.device)
        loss = F.smooth_l1_loss(losses, aims, beta=SMOOTH) + _retention(learner, original, kept)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
    return learner.eval().requires_grad_(False), ascent.max_steps


def _retention(learner: Transformer, original: Transformer, pieces: Sequence[Ids]) -> Tensor:
    """What keeps the model as it is on the retained pieces: divergence from the original, and the loss."""
    inputs, targets = batch_of(pieces, learner.device)
    logits = logits_of(learner, inputs)
    with torch.no_grad():
        before = logits_of(original, inputs).float().log_softmax(dim=-1)
    divergence = F.kl_div(logits.float().log_softmax(dim=-1), before, reduction="none", log_target=True).sum(dim=-1)
    is_target = targets != IGNORE_INDEX
    return RETENTION * divergence[is_target].mean() + piece_losses(logits, targets).mean()
