"""Shuffling without memory: a keyed permutation of any length, computed index by index."""

import hashlib
from functools import lru_cache

_MASK_64 = (1 << 64) - 1
FEISTEL_ROUNDS = 6


def permute(index: int, size: int, key: int) -> int:
    """The image of `index` under the permutation of range(size) selected by `key`.

    A Feistel network permutes range(next power of four); values outside range(size) are permuted again until they are inside
    ("cycle walking": Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002).
    """
    assert 0 <= index < size, (index, size)
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for round_number in range(FEISTEL_ROUNDS):
            left, right = right, left ^ (_mix(key, round_number, right) & mask)
        index = left << half | right
        if index < size:
            return index


def _mix(key: int, round_number: int, value: int) -> int:
    """A 64-bit hash: the finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    x = (key + round_number * 0x9E3779B97F4A7C15 + value * 0xD1342543DE82EF95) & _MASK_64
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & _MASK_64
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & _MASK_64
    return x ^ x >> 31


@lru_cache(maxsize=4)
def epoch_keys(seed: int, epoch: int) -> tuple[int, int]:
    """Two 64-bit numbers for an epoch: its starting offset (to be taken modulo the length) and its permutation key."""
    digest = hashlib.blake2b(f"lmcraft {seed} {epoch}".encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8]), int.from_bytes(digest[8:])
