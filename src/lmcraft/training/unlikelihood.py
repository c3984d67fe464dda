"""Unlikelihood: tokens that a model should not write (arXiv 1908.04319, section 5).

Shapes: N targets, C width, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lmcraft.data.loader import IGNORE_INDEX

TARGETS_PER_CHUNK = 256  # targets whose logits are in memory at the same time


def unlikelihood(x_NC: Tensor, weight_VC: Tensor, targets_N: Tensor) -> Tensor:
    """-log(1 - p) summed over the targets, where p = softmax(x W^T) of the target, a float32 scalar; -100 is ignored.

    log(1 - p) is a difference of two logsumexp, so that loss and gradient are finite for every p: the gradient by the
    target's logit is p.
    """
    chosen = targets_N != IGNORE_INDEX
    total = x_NC.new_zeros((), dtype=torch.float32)
    chunks = (torch.split(tensor, TARGETS_PER_CHUNK) for tensor in (x_NC[chosen], targets_N[chosen]))
    for x, targets in zip(*chunks, strict=True):
        total = total + checkpoint(_sum_chunk, x, weight_VC, targets, use_reentrant=False)
    return total


def _sum_chunk(x_NC: Tensor, weight_VC: Tensor, targets_N: Tensor) -> Tensor:
    logits = F.linear(x_NC, weight_VC.to(x_NC.dtype)).float()
    others = logits.scatter(1, targets_N[:, None], -torch.inf)
    return (logits.logsumexp(dim=1) - others.logsumexp(dim=1)).sum()
