"""A shuffled order that needs no table: a keyed permutation of 0 .. n-1."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence

import numpy as np

_ROUNDS = 4

_TABLED = 15
"""Bits of half an index up to which the rounds are looked up: 131,072 hashes at most."""


def permuted(index: int, count: int, key: Sequence[int]) -> int:
    """Where ``index`` goes in the permutation of ``range(count)`` that ``key`` chooses.

    A Feistel network over the next power of four, walked until it is back in range (Black and
    Rogaway, Ciphers with Arbitrary Finite Domains, 2002).
    """
    half = _half(count)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for turn in range(_ROUNDS):
            left, right = right, left ^ (_mix(right, turn, key) & mask)
        index = left << half | right
        if index < count:
            return index


def permuted_all(indices: np.ndarray, count: int, key: Sequence[int]) -> np.ndarray:
    """The same of many at once, int64: each round is hashed once for what it can be given, not
    for every index."""
    half = _half(count)
    if half > _TABLED:
        return np.array([permuted(index, count, key) for index in indices.tolist()], np.int64)
    found = indices.astype(np.int64)
    left_out = np.arange(len(found))
    while len(left_out):
        left, right = found[left_out] >> half, found[left_out] & ((1 << half) - 1)
        for table in _tables(half, tuple(key)):
            left, right = right, left ^ table[right]
        found[left_out] = left << half | right
        left_out = left_out[found[left_out] >= count]
    return found


def _half(count: int) -> int:
    """Bits of half an index."""
    return max(1, ((count - 1).bit_length() + 1) // 2)


@functools.lru_cache(maxsize=2)
def _tables(half: int, key: tuple[int, ...]) -> np.ndarray:
    """What each round makes of each value: (rounds, 2 ** half)."""
    mask = (1 << half) - 1
    rounds = [
        [_mix(value, turn, key) & mask for value in range(1 << half)] for turn in range(_ROUNDS)
    ]
    return np.array(rounds, np.int64)


def _mix(value: int, turn: int, key: Sequence[int]) -> int:
    text = f"{value},{turn},{','.join(map(str, key))}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
