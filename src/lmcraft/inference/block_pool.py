"""The pool of keys and values that all requests share, in blocks of a few tokens (PagedAttention, arXiv 2309.06180).

A full block can be found again by a hash of its tokens, all tokens before them, and the salt of its owner. A later request
with the same prefix reuses the block instead of computing it. Blocks are never shared across salts. In a model with
recurrent layers a prefix is reused only up to a snapshot of their state, which lasts no longer than the block before it.

Shapes: K key-value heads, P slots (one per token) of the pool, D head width, each of a layer.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lmcraft.inference.recurrent_state import RecurrentState, StateSnapshots
from lmcraft.model.config import TransformerConfig

BLOCK_TOKENS = 32
SLOTS_PER_TILE = 16  # keys of this many tokens are interleaved number by number: attention reads them as one vector
MAX_SNAPSHOT_BYTES = 2**30  # of recurrent states that later requests may go on from


@dataclass
class BlockTable:
    """The blocks of one request, in the order of its tokens."""

    blocks: list[int] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    """Hashes of the leading full blocks that have been published."""
    state: RecurrentState | None = None
    """Of the recurrent layers, after the tokens computed so far."""


class BlockPool:
    """Storage for keys and values, and the bookkeeping of which request uses which block.

    Args:
        config: of the model.
        num_tokens: capacity, in tokens; rounded up to whole blocks.
        dtype: of keys and values.
        device: where they are stored.
        block_tokens: tokens per block, a multiple of 16.
        snapshot_bytes: memory for recurrent states that later requests may go on from.
    """

    def __init__(
        self,
        config: TransformerConfig,
        *,
        num_tokens: int,
        dtype: torch.dtype = torch.float16,
        device: str | torch.device = "cpu",
        block_tokens: int = BLOCK_TOKENS,
        snapshot_bytes: int = MAX_SNAPSHOT_BYTES,
    ) -> None:
        self.block_tokens, self.dtype, self.device = block_tokens, dtype, torch.device(device)
        self.num_blocks = max(1, -(-num_tokens // block_tokens))
        layers = range(config.num_hidden_layers)
        shapes = [config.cache_shape(layer) or (0, 0, 0) for layer in layers]
        num_tiles, padding = self.num_slots // SLOTS_PER_TILE, SLOTS_PER_TILE - 1
        self.keys: list[Tensor] = [self._empty(heads, num_tiles, width, SLOTS_PER_TILE) for heads, width, _ in shapes]
        """Of each layer, (K, P / 16, D, 16)."""
        self.values: list[Tensor] = [
            self._empty(heads, self.num_slots, (width + padding) // SLOTS_PER_TILE * SLOTS_PER_TILE)
            for heads, _, width in shapes
        ]
        """Of each layer, (K, P, D rounded up to a multiple of 16)."""
        self.num_recurrent_layers = sum(bool(config.state_shapes(layer)) for layer in layers)
        self.snapshots = StateSnapshots(snapshot_bytes)
        self._num_users = [0] * self.num_blocks
        self._free = list(range(self.num_blocks - 1, -1, -1))
        self._block_of: dict[bytes, int] = {}
        self._hash_of: dict[int, bytes] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()  # published blocks without a user, oldest first

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(*shape, dtype=self.dtype, device=self.device)

    @property
    def num_slots(self) -> int:
        """Capacity in tokens."""
        return self.num_blocks * self.block_tokens

    @property
    def num_free_blocks(self) -> int:
        """How many blocks can be allocated; includes published blocks without a user."""
        return len(self._free) + len(self._idle)

    @property
    def usage(self) -> float:
        """Share of the blocks that requests hold, 0 to 1."""
        return 1 - self.num_free_blocks / self.num_blocks

    def allocate(self, table: BlockTable, num_tokens: int) -> bool:
        """Extend a table to hold `num_tokens` in total; with too few free blocks, change nothing and return False."""
        missing = -(-num_tokens // self.block_tokens) - len(table.blocks)
        if missing > self.num_free_blocks:
            return False
        table.blocks += [self._take_block() for _ in range(missing)]
        return True

    def match_prefix(self, table: BlockTable, tokens: Sequence[int], salt: bytes, block_multiple: int = 1) -> int:
        """Let a request use published blocks that match its tokens from the end of its own published blocks on.

        Args:
            table: of the request; empty, or all computed tokens are in published blocks. Its other blocks are replaced.
            tokens: of the request. The last one is never matched, because its logits are needed.
            salt: of the owner.
            block_multiple: only a multiple of this many blocks is reused.

        Returns:
            The number of tokens whose keys and values the table now holds.
        """
        first, matches = len(table.hashes), list[tuple[bytes, int]]()
        for block_hash in self._hashes(tokens[:-1], table, salt):
            if block_hash not in self._block_of:
                break
            matches.append((block_hash, self._block_of[block_hash]))
        del matches[max(0, (first + len(matches)) // block_multiple * block_multiple - first) :]
        if self.num_recurrent_layers:
            while matches and matches[-1][0] not in self.snapshots:
                del matches[-block_multiple:]
            table.state = self.snapshots.get(matches[-1][0]) if matches else table.state
        for number, (block_hash, block) in enumerate(matches, first):
            self._num_users[block] += 1
            self._idle.pop(block, None)
            if number < len(table.blocks):
                self._release(table.blocks[number])
            table.blocks[number : number + 1] = [block]
            table.hashes.append(block_hash)
        return len(table.hashes) * self.block_tokens

    def publish(self, table: BlockTable, tokens: Sequence[int], salt: bytes, *, keep_state: bool = True) -> None:
        """Let later requests match the full blocks of `tokens`, all of which have been computed.

        With `keep_state` they may go on from the recurrent state after them, if the last block is full.
        """
        first, last = len(table.hashes), len(tokens) // self.block_tokens
        if last <= first:
            return
        block_hash = table.hashes[-1] if table.hashes else _root_hash(salt)
        for number in range(first, last):
            block_hash = _chained_hash(block_hash, tokens[number * self.block_tokens : (number + 1) * self.block_tokens])
            table.hashes.append(block_hash)
            block = table.blocks[number]
            if block_hash not in self._block_of and block not in self._hash_of:
                self._block_of[block_hash] = block
                self._hash_of[block] = block_hash
        state = table.state
        if (
            keep_state
            and state is not None
            and state.num_tokens == last * self.block_tokens
            and block_hash in self._block_of
        ):
            self.snapshots.put(block_hash, state)

    def holds(self, table: BlockTable, num_tokens: int) -> bool:
        """Whether a request can go on after its first `num_tokens` tokens.

        The recurrent state is elsewhere if a step was interrupted.
        """
        if not self.num_recurrent_layers or not num_tokens:
            return True
        return table.state is not None and table.state.num_tokens == num_tokens

    def free(self, table: BlockTable) -> None:
        """Return a request's blocks; published ones can still be matched until they are needed for something else.

        The last ones are reused first, because the blocks of a prefix are worth nothing without those before them.
        """
        for block in reversed(table.blocks):
            self._release(block)
        table.blocks, table.hashes, table.state = [], [], None

    def check(self, tables: Sequence[BlockTable]) -> None:
        """Raise AssertionError unless the bookkeeping fits `tables`, all tables in use: no block is lost or used twice."""
        num_users = [0] * self.num_blocks
        for table in tables:
            assert len(set(table.blocks)) == len(table.blocks)
            for block in table.blocks:
                num_users[block] += 1
        assert num_users == self._num_users
        free, idle = set(self._free), set(self._idle)
        assert len(free) == len(self._free) and not free & idle
        assert free | idle == {block for block in range(self.num_blocks) if not num_users[block]}
        assert {block: block_hash for block_hash, block in self._block_of.items()} == self._hash_of
        assert idle <= self._hash_of.keys() and not free & self._hash_of.keys()

    def _release(self, block: int) -> None:
        self._num_users[block] -= 1
        if self._num_users[block] == 0:
            if block in self._hash_of:
                self._idle[block] = None
            else:
                self._free.append(block)

    def _take_block(self) -> int:
        if self._free:
            block = self._free.pop()
        else:
            block, _ = self._idle.popitem(last=False)
            block_hash = self._hash_of.pop(block)
            del self._block_of[block_hash]
            self.snapshots.drop(block_hash)
        self._num_users[block] = 1
        return block

    def _hashes(self, tokens: Sequence[int], table: BlockTable, salt: bytes) -> Iterator[bytes]:
        """The hashes of the full blocks of `tokens` after the published ones of a table."""
        block_hash = table.hashes[-1] if table.hashes else _root_hash(salt)
        for start in range(len(table.hashes) * self.block_tokens, len(tokens) - self.block_tokens + 1, self.block_tokens):
            block_hash = _chained_hash(block_hash, tokens[start : start + self.block_tokens])
            yield block_hash


def _root_hash(salt: bytes) -> bytes:
    return hashlib.sha256(b"lmcraft" + salt).digest()


def _chained_hash(parent: bytes, tokens: Sequence[int]) -> bytes:
    # A cryptographic hash: with one that can be attacked, a crafted prompt could read another user's text.
    return hashlib.sha256(parent + b"".join(token.to_bytes(4, "little") for token in tokens)).digest()
