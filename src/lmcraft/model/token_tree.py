"""Texts that begin alike, as one tree of tokens, so that the model computes what they share once.

A row of the tree holds each token once. A token attends to itself and to the tokens before it in its own text, and its
position is its distance from the beginning (tree attention, as in SpecInfer, arXiv 2305.09781, section 4).

Shapes: T tokens of the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenTree:
    """One row of tokens, each of which comes after the token before it in its text."""

    ids: tuple[int, ...]
    positions: Tensor
    """(T,): distance from the beginning of the text, in tokens."""
    ancestors: Tensor
    """(T, T): whether a token (first index) comes after another or is it."""

    @classmethod
    def build(cls, ids: Sequence[int], parents: Sequence[int]) -> "TokenTree":
        """The tree of tokens whose predecessors are at `parents`, which are smaller; -1: the token begins a text."""
        ancestors = torch.eye(len(ids), dtype=torch.bool)
        rows = ancestors.numpy()  # a view; torch takes 20 times as long for each row
        for n, parent in enumerate(parents):
            if parent >= 0:
                rows[n, :n] = rows[parent, :n]
        return cls(tuple(ids), ancestors.sum(dim=1) - 1, ancestors)

    def to(self, device: torch.device) -> "TokenTree":
        """The same tree on a device."""
        return TokenTree(self.ids, self.positions.to(device), self.ancestors.to(device))

    def mask(self, window: int) -> Tensor:
        """Which tokens each token attends to, (T, T): at most the last `window` of its text; 0: all of them."""
        if not window:
            return self.ancestors
        return self.ancestors & (self.positions[:, None] - self.positions[None, :] < window)
