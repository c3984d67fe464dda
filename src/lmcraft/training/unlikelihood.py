"""Unlikelihood: tokens that a model should not write (arXiv 1908.04319, section 5).

Shapes: N targets, C width, V vocabulary.
"""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.model.output_head import OutputHead

TARGETS_PER_CHUNK = 256  # targets whose logits are in memory at the same time


def unlikelihood(x_NC: Tensor, head: OutputHead, targets_N: Tensor) -> Tensor:
    """-log(1 - p) summed over the targets, a float32 scalar; targets of -100 are ignored."""
    chosen = targets_N != IGNORE_INDEX
    return token_unlikelihoods(x_NC[chosen], head, targets_N[chosen]).sum()


def token_unlikelihoods(x_NC: Tensor, head: OutputHead, targets_N: Tensor) -> Tensor:
    """-log(1 - p) of each target, where p is its probability, (N,) float32; logits are computed in chunks, and again in
    the backward pass.

    log(1 - p) is a difference of two logsumexp, so that loss and gradient are finite for every p: the gradient by the
    target's logit is p.
    """
    chunks = [
        checkpoint(_token_unlikelihoods, x, head, targets, use_reentrant=False)
        for x, targets in zip(torch.split(x_NC, TARGETS_PER_CHUNK), torch.split(targets_N, TARGETS_PER_CHUNK), strict=True)
    ]
    return torch.cat(chunks)


def _token_unlikelihoods(x_NC: Tensor, head: OutputHead, targets_N: Tensor) -> Tensor:
    logits = head.wide_logits(x_NC)
    others = logits.scatter(1, targets_N[:, None], -torch.inf)
    return logits.logsumexp(dim=1) - others.logsumexp(dim=1)
