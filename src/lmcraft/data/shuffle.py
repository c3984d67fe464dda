"""Shuffling without memory: a keyed permutation of any length, computed index by index."""

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

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


def permute_all(size: int, key: int) -> NDArray[np.int64]:
    """The images of range(size) under the permutation that `permute` computes, (size,)."""
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    images = np.arange(size, dtype=np.uint64)
    outside = np.arange(size)
    while len(outside):
        left, right = images[outside] >> np.uint64(half), images[outside] & np.uint64((1 << half) - 1)
        for round_number in range(FEISTEL_ROUNDS):
            left, right = right, left ^ (_mix_array(key, round_number, right) & np.uint64((1 << half) - 1))
        images[outside] = left << np.uint64(half) | right
        outside = outside[images[outside] >= size]
    return images.astype(np.int64)


def _mix(key: int, round_number: int, value: int) -> int:
    """A 64-bit hash: the finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    x = (key + round_number * 0x9E3779B97F4A7C15 + value * 0xD1342543DE82EF95) & _MASK_64
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & _MASK_64
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & _MASK_64
    return x ^ x >> 31


def _mix_array(key: int, round_number: int, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`_mix` of many values; unsigned numbers of 64 bits wrap around."""
    x = np.uint64((key + round_number * 0x9E3779B97F4A7C15) & _MASK_64) + values * np.uint64(0xD1342543DE82EF95)
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


@lru_cache(maxsize=4)
def epoch_keys(seed: int, epoch: int) -> tuple[int, int]:
    """Two 64-bit numbers for an epoch: its starting offset (to be taken modulo the length) and its permutation key."""
    digest = hashlib.blake2b(f"lmcraft {seed} {epoch}".encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8]), int.from_bytes(digest[8:])
