"""The pool of keys and values that all sequences share, in blocks of a few tokens each (PagedAttention, arXiv 2309.06180).

A block that is full can be found again by what it holds: its tokens, all before them, and the salt of its owner. A later
sequence that begins the same takes it over instead of computing it. Nobody finds what another owner's salt went into.

Shapes: L layers, K key-value heads, P places (tokens) of the pool in tiles of 16, D head width.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lmcraft.model.config import TransformerConfig

BLOCK_SIZE = 32
LANES = 16  # places whose keys lie together, number by number, since they are looked at together


@dataclass
class Holding:
    """The blocks of one sequence, in order."""

    blocks: list[int] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    """Of the first full blocks, those that have been published."""


class BlockPool:
    """Storage for keys and values, and the book-keeping of who uses which block.

    Args:
        config: of the model.
        tokens: how many tokens there is room for.
        dtype: of keys and values.
        device: where they are.
        block_size: tokens of a block, a multiple of 16.
    """

    def __init__(
        self,
        config: TransformerConfig,
        *,
        tokens: int,
        dtype: torch.dtype = torch.float16,
        device: str | torch.device = "cpu",
        block_size: int = BLOCK_SIZE,
    ) -> None:
        self.block_size = block_size
        self.count = max(1, -(-tokens // block_size))
        heads, width = (config.num_hidden_layers, config.num_key_value_heads), config.head_dim
        wide = -(-width // LANES) * LANES
        self.keys: Tensor = torch.empty(*heads, self.places // LANES, width, LANES, dtype=dtype, device=device)
        """(L, K, P / 16, D, 16)."""
        self.values: Tensor = torch.empty(*heads, self.places, wide, dtype=dtype, device=device)
        """(L, K, P, D), with room after each for a multiple of 16 numbers."""
        self._users = [0] * self.count
        self._free = list(range(self.count - 1, -1, -1))
        self._published: dict[bytes, int] = {}
        self._key_of: dict[int, bytes] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()  # published blocks without a user, the oldest first

    @property
    def places(self) -> int:
        """How many tokens there is room for."""
        return self.count * self.block_size

    @property
    def available(self) -> int:
        """How many blocks can be taken."""
        return len(self._free) + len(self._idle)

    def blocks_for(self, tokens: int) -> int:
        """How many blocks hold so many tokens."""
        return -(-tokens // self.block_size)

    def extend(self, holding: Holding, tokens: int) -> bool:
        """Give a sequence room for `tokens` in all; False, and nothing is taken, if there is not enough."""
        needed = self.blocks_for(tokens) - len(holding.blocks)
        if needed > self.available:
            return False
        holding.blocks += [self._take() for _ in range(needed)]
        return True

    def find(self, holding: Holding, tokens: Sequence[int], salt: bytes, unit: int = 1) -> int:
        """Let a new sequence begin with what is there already; returns how many of its tokens that are.

        Args:
            holding: empty.
            tokens: of the sequence; the last is never found, since its logits are wanted.
            salt: of the owner.
            unit: only a multiple of so many blocks is taken.
        """
        assert not holding.blocks
        found: list[tuple[bytes, int]] = []
        for key in self._keys(tokens[:-1], salt):
            if key not in self._published:
                break
            found.append((key, self._published[key]))
        found = found[: len(found) // unit * unit]
        for key, block in found:
            self._users[block] += 1
            self._idle.pop(block, None)
            holding.blocks.append(block)
            holding.keys.append(key)
        return len(found) * self.block_size

    def publish(self, holding: Holding, tokens: Sequence[int], salt: bytes) -> None:
        """Let later sequences find the full blocks that `tokens`, all computed, are in."""
        start = len(holding.keys)
        if len(tokens) // self.block_size <= start:
            return
        parent = holding.keys[-1] if holding.keys else _first(salt)
        for number in range(start, len(tokens) // self.block_size):
            parent = _next(parent, tokens[number * self.block_size : (number + 1) * self.block_size])
            holding.keys.append(parent)
            block = holding.blocks[number]
            if parent not in self._published and block not in self._key_of:
                self._published[parent] = block
                self._key_of[block] = parent

    def release(self, holding: Holding) -> None:
        """Give a sequence's blocks back; published ones can still be found until their room is needed."""
        for block in holding.blocks:
            self._users[block] -= 1
            if self._users[block] == 0:
                if block in self._key_of:
                    self._idle[block] = None
                else:
                    self._free.append(block)
        holding.blocks, holding.keys = [], []

    def check(self, holdings: Sequence[Holding]) -> None:
        """Raise AssertionError unless the books are right: nothing overlaps but what is shared, nothing is lost."""
        users = [0] * self.count
        for holding in holdings:
            assert len(set(holding.blocks)) == len(holding.blocks)
            for block in holding.blocks:
                users[block] += 1
        assert users == self._users
        free, idle = set(self._free), set(self._idle)
        assert len(free) == len(self._free) and not free & idle
        assert free | idle == {block for block in range(self.count) if not users[block]}
        assert {block: key for key, block in self._published.items()} == self._key_of
        assert idle <= self._key_of.keys() and not free & self._key_of.keys()

    def _take(self) -> int:
        if self._free:
            block = self._free.pop()
        else:
            block, _ = self._idle.popitem(last=False)
            del self._published[self._key_of.pop(block)]
        self._users[block] = 1
        return block

    def _keys(self, tokens: Sequence[int], salt: bytes) -> "list[bytes]":
        keys, parent = [], _first(salt)
        for start in range(0, len(tokens) - self.block_size + 1, self.block_size):
            parent = _next(parent, tokens[start : start + self.block_size])
            keys.append(parent)
        return keys


def _first(salt: bytes) -> bytes:
    return hashlib.sha256(b"lmcraft" + salt).digest()


def _next(parent: bytes, tokens: Sequence[int]) -> bytes:
    # A hash that nobody can aim at: a collision would show one person another's text.
    return hashlib.sha256(parent + b"".join(token.to_bytes(4, "little") for token in tokens)).digest()
