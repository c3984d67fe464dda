"""Texts as pieces of tokens that fit into the model's context, and their losses.

Shapes: B pieces of a batch, T tokens.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.model.transformer import Transformer

Ids = Sequence[int]


def cut(texts: Sequence[Ids], length: int) -> list[list[int]]:
    """Pieces of at most `length` + 1 tokens, in which each token of a text but the first is predicted once."""
    pieces = [list(ids[start : start + length + 1]) for ids in texts for start in range(0, max(1, len(ids) - 1), length)]
    return [piece for piece in pieces if len(piece) > 1]


def batch_of(pieces: Sequence[Ids], device: torch.device) -> tuple[Tensor, Tensor]:
    """Inputs and targets, each (B, T); targets after the end of a piece are -100."""
    length = max(map(len, pieces)) - 1
    inputs = torch.zeros(len(pieces), length, dtype=torch.int64)
    targets = torch.full((len(pieces), length), IGNORE_INDEX)
    for row, piece in enumerate(pieces):
        ids = torch.tensor(piece)
        inputs[row, : len(ids) - 1], targets[row, : len(ids) - 1] = ids[:-1], ids[1:]
    return inputs.to(device), targets.to(device)


def piece_losses(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """The mean loss of the tokens of each piece, (B,), in nats."""
    losses = F.cross_entropy(logits_BTV.flatten(0, 1).float(), targets_BT.flatten(), reduction="none").view_as(targets_BT)
    return losses.sum(dim=1) / (targets_BT != IGNORE_INDEX).sum(dim=1)


def logits_of(model: Transformer, inputs_BT: Tensor) -> Tensor:
    """(B, T, V)"""
    return model.logits(model.hidden_states(inputs_BT))
