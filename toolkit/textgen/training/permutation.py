"""A shuffled order that needs no table: a keyed permutation of 0 .. n-1."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

_ROUNDS = 4


def permuted(index: int, count: int, key: Sequence[int]) -> int:
    """Where ``index`` goes in the permutation of ``range(count)`` that ``key`` chooses.

    A Feistel network over the next power of four, walked until it is back in range (Black and
    Rogaway, Ciphers with Arbitrary Finite Domains, 2002).
    """
    half = max(1, ((count - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for turn in range(_ROUNDS):
            left, right = right, left ^ (_mix(right, turn, key) & mask)
        index = left << half | right
        if index < count:
            return index


def _mix(value: int, turn: int, key: Sequence[int]) -> int:
    text = f"{value},{turn},{','.join(map(str, key))}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
