"""Decay of a recurrent state within chunks of tokens: between any two tokens of a chunk, and over the whole of it.

A state decays by exp(log_decay[t]) before the token t is added, and to nothing where a document begins. With the decays
between all pairs of tokens, a chunk is computed in matrix products, and only the state is passed from chunk to chunk.

Shapes: B batch, T tokens, H heads, N chunks, L tokens of a chunk.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class ChunkDecay(NamedTuple):
    """The product of the decays of several tokens, 0 across documents."""

    between: Tensor
    """From a token (last dimension) to a later one of its chunk, (B, H, N, L, L); 0 to an earlier one."""
    from_start: Tensor
    """From the state before the chunk to a token, (B, H, N, L)."""
    to_end: Tensor
    """From a token to the state after the chunk, (B, H, N, L)."""
    whole: Tensor
    """From the state before the chunk to that after it, (B, H, N)."""


def chunk_decay(log_decay_BTH: Tensor, begins_BT: Tensor | None, size: int) -> ChunkDecay:
    """The decays within chunks of `size` tokens; `begins_BT` is true where a document begins."""
    log_decay = into_chunks(log_decay_BTH, size)
    from_start = log_decay.cumsum(dim=-1).exp()
    allowed = torch.ones(size, size, dtype=torch.bool, device=log_decay.device).tril()
    # Summed from each token on: a difference of two long sums would lose the digits of a short one.
    between = log_decay[..., None].expand(*log_decay.shape, size).tril(-1).cumsum(dim=-2)
    if begins_BT is not None:
        document = into_chunks(begins_BT[:, :, None].int(), size).cumsum(dim=-1)
        allowed = allowed & (document[..., :, None] == document[..., None, :])
        from_start = from_start * (document == 0)
    between = between.exp() * allowed
    return ChunkDecay(between, from_start, between[..., -1, :], from_start[..., -1])


def into_chunks(x: Tensor, size: int) -> Tensor:
    """(B, T, H, ...) as (B, H, N, L, ...), with zeros after the last token."""
    B, T = x.shape[:2]
    x = F.pad(x, (0, 0) * (x.ndim - 2) + (0, -T % size))
    return x.view(B, -1, size, *x.shape[2:]).movedim(3, 1)


def from_chunks(x: Tensor, T: int) -> Tensor:
    """(B, H, N, L, ...) as (B, T, H, ...), without the zeros after the last token."""
    return x.movedim(1, 3).flatten(1, 2)[:, :T]
