"""Noise: the published vectors of Philox, and the design's formula re-derived."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from textgen.runtime.noise import noise, philox4x32_10

# Random123's kat_vectors, philox 4x32, 10 rounds: counter, key, result
VECTORS = [
    ([0] * 4, (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    (
        [0xFFFFFFFF] * 4,
        (0xFFFFFFFF, 0xFFFFFFFF),
        [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
    ),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        (0xA4093822, 0x299F31D0),
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_known_answers(counter, key, expected):
    assert philox4x32_10(np.array(counter), key).tolist() == expected


def test_many_counters_at_once():
    counters = np.random.default_rng(0).integers(0, 1 << 32, (3, 5, 4))
    found = philox4x32_10(counters, (1, 2))
    for place in np.ndindex(3, 5):
        assert found[place].tolist() == philox4x32_10(counters[place], (1, 2)).tolist()


def naive(seed, stream, position):
    words, key = [position, stream, 0, 0], [seed % 2**32, seed // 2**32]
    for _ in range(10):
        a, b = 0xD2511F53 * words[0], 0xCD9E8D57 * words[2]
        words = [(b >> 32) ^ words[1] ^ key[0], b % 2**32, (a >> 32) ^ words[3] ^ key[1], a % 2**32]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return (words[0] >> 8) * 2.0**-24


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_the_formula(seed, stream, position):
    (found,) = noise(seed, np.array([stream]), np.array([position]))[0]
    assert found.dtype == np.float32
    assert float(found) == naive(seed, stream, position)


def test_each_stream_may_stand_elsewhere():
    positions = np.array([[5, 0], [6, 1]])
    found = noise(9, np.array([0, 3]), positions)
    assert found.tolist() == [[naive(9, 0, 5), naive(9, 3, 0)], [naive(9, 0, 6), naive(9, 3, 1)]]


def test_it_is_uniform_below_one():
    values = noise(2**64 - 1, np.arange(4), np.arange(50_000)).ravel()
    assert values.min() >= 0 and values.max() < 1
    counts = np.bincount((values * 100).astype(int), minlength=100)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_the_whole_seed_counts():
    values = {float(noise(seed, np.array([0]), np.array([0]))[0, 0]) for seed in (0, 1 << 32, 1)}
    assert len(values) == 3
