"""A shuffled order of any length that takes no memory: a keyed permutation, computed place by place."""

import hashlib
from functools import lru_cache

_MASK = (1 << 64) - 1
ROUNDS = 6


def permute(index: int, size: int, key: int) -> int:
    """Where `index` goes in the permutation of range(size) that `key` chooses.

    A Feistel network permutes the next power of four above `size`; a value outside the range is permuted again until it
    falls inside ("cycle walking": Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002).
    """
    assert 0 <= index < size, (index, size)
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for round_number in range(ROUNDS):
            left, right = right, left ^ (_mix(key, round_number, right) & mask)
        index = left << half | right
        if index < size:
            return index


def _mix(key: int, round_number: int, value: int) -> int:
    """A 64-bit hash: the finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    x = (key + round_number * 0x9E3779B97F4A7C15 + value * 0xD1342543DE82EF95) & _MASK
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & _MASK
    return x ^ x >> 31


@lru_cache(maxsize=4)
def epoch_secrets(seed: int, epoch: int) -> tuple[int, int]:
    """Two 64-bit numbers: where an epoch begins (to be reduced), and the key of its order."""
    digest = hashlib.blake2b(f"lmcraft {seed} {epoch}".encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8]), int.from_bytes(digest[8:])
