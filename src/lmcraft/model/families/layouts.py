"""How the rows of our tensors lie in one tensor of a checkpoint; rows are outputs, (out, ...)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lmcraft.model.config import TransformerConfig

Size = Callable[[TransformerConfig], int]


class Layout(Protocol):
    """Both directions of a layout, which moves rows and changes none."""

    def join(self, parts: Sequence[Tensor], config: TransformerConfig) -> Tensor:
        """The checkpoint's tensor of our tensors."""

    def split(self, tensor: Tensor, sizes: Sequence[int], config: TransformerConfig) -> Sequence[Tensor]:
        """Our tensors, of `sizes` rows each."""


class Stacked:
    """One tensor after the other."""

    def join(self, parts: Sequence[Tensor], config: TransformerConfig) -> Tensor:
        return parts[0] if len(parts) == 1 else torch.cat(list(parts))

    def split(self, tensor: Tensor, sizes: Sequence[int], config: TransformerConfig) -> Sequence[Tensor]:
        return [tensor] if len(sizes) == 1 else torch.split(tensor, list(sizes))


@dataclass(frozen=True)
class Grouped:
    """Group by group: the rows of each tensor for the first group, then for the next one."""

    groups: Size

    def join(self, parts: Sequence[Tensor], config: TransformerConfig) -> Tensor:
        groups = self.groups(config)
        return torch.cat([part.reshape(groups, -1, *part.shape[1:]) for part in parts], dim=1).flatten(0, 1)

    def split(self, tensor: Tensor, sizes: Sequence[int], config: TransformerConfig) -> Sequence[Tensor]:
        groups = self.groups(config)
        grouped = tensor.reshape(groups, -1, *tensor.shape[1:])
        return [part.flatten(0, 1) for part in torch.split(grouped, [size // groups for size in sizes], dim=1)]


@dataclass(frozen=True)
class RotaryPairs:
    """The two coordinates of a rotary angle are neighbors in the checkpoint (RoPE as published, GPT-J), and half of the
    rotated part apart in ours; for weights of one tensor."""

    head: Size
    """Rows of a head."""
    width: Size
    """Rotated rows of a head."""
    first: Size = lambda config: 0
    """The first of them."""

    def join(self, parts: Sequence[Tensor], config: TransformerConfig) -> Tensor:
        (part,) = parts
        return self._reordered(
            part, config, lambda rotated: rotated.reshape(len(rotated), 2, -1, *rotated.shape[2:]).transpose(1, 2)
        )

    def split(self, tensor: Tensor, sizes: Sequence[int], config: TransformerConfig) -> Sequence[Tensor]:
        return [
            self._reordered(
                tensor, config, lambda rotated: rotated.reshape(len(rotated), -1, 2, *rotated.shape[2:]).transpose(1, 2)
            )
        ]

    def _reordered(self, tensor: Tensor, config: TransformerConfig, reorder: Callable[[Tensor], Tensor]) -> Tensor:
        heads = tensor.reshape(-1, self.head(config), *tensor.shape[1:])
        first, last = self.first(config), self.first(config) + self.width(config)
        rotated = reorder(heads[:, first:last]).flatten(1, 2)
        return torch.cat((heads[:, :first], rotated, heads[:, last:]), dim=1).reshape(tensor.shape)


STACKED = Stacked()
BY_HEAD = Grouped(lambda config: config.num_attention_heads)
BY_KEY_VALUE_HEAD = Grouped(lambda config: config.num_key_value_heads)
ROTARY_PAIRS = RotaryPairs(head=lambda config: config.head_dim, width=lambda config: config.rotary_dim)
