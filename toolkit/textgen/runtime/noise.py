"""The noise of sampling: the same seed, stream and position give the same number anywhere.

Philox4x32-10: Salmon, Moraes, Dror and Shaw, Parallel Random Numbers: As Easy as 1, 2, 3 (2011).
"""

from __future__ import annotations

import numpy as np

SEEDS = 1 << 64

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def philox4x32_10(
    counter: np.ndarray, key: tuple[int | np.ndarray, int | np.ndarray]
) -> np.ndarray:
    """Ten rounds over ``counter`` (..., 4) of 32-bit words; the same shape, uint32.

    ``key`` is two words, or two arrays of words that broadcast with (...).
    """
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = (np.asarray(word, np.uint64) for word in key)
    for _ in range(10):
        p0, p1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (p1 >> _SHIFT) ^ c1 ^ k0,
            p1 & _LOW,
            (p0 >> _SHIFT) ^ c3 ^ k1,
            p0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def noise(
    seed: int | np.ndarray,
    streams: np.ndarray,
    positions: np.ndarray,
    tries: int | np.ndarray = 0,
) -> np.ndarray:
    """Numbers in [0, 1), float32 (T, B), for ``positions`` (T,) or (T, B) of ``streams`` (B,).

    The first word of Philox, its upper 24 bits; the key is the seed, the counter (position, stream,
    try, 0). Seeds and tries are one number, or one a stream (B,); the first try is 0.
    """
    positions = np.asarray(positions, np.uint64)
    if positions.ndim == 1:
        positions = positions[:, None]
    positions, streams, tries = np.broadcast_arrays(
        positions, np.asarray(streams, np.uint64)[None, :], np.asarray(tries, np.uint64)
    )
    counter = np.zeros((*positions.shape, 4), np.uint64)
    for word, values in enumerate((positions, streams, tries)):
        counter[..., word] = values & _LOW
    seeds = np.asarray(seed, np.uint64)
    words = philox4x32_10(counter, (seeds & _LOW, seeds >> _SHIFT))[..., 0]
    return (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
