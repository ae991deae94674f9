"""The draw: its definition re-derived, its edges, and its law."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from scipy import stats

from textgen.runtime.names import FREE
from textgen.runtime.noise import noise
from textgen.runtime.sampling_graph import draw_graph

LARGEST = 1 - 2**-24


def draw(logits, random, forced=None):
    logits = np.atleast_2d(np.asarray(logits, np.float32))
    random = np.atleast_1d(np.asarray(random, np.float32))
    session = onnxruntime.InferenceSession(
        draw_graph(logits.shape[1]).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feed = {"logits": logits, "adjusted": logits, "noise": random}
    feed["forced"] = np.full(len(random), FREE) if forced is None else np.array(forced)
    return session.run(None, feed)


def naive(row, u):
    """The first index whose running sum, in vocabulary order, exceeds u times the whole."""
    weights = np.exp(row - row.max())
    total, sums = np.float32(0), []
    for weight in weights:
        total = np.float32(total + weight)
        sums.append(total)
    limit = np.float32(np.float32(u) * total)
    return next(index for index, running in enumerate(sums) if running > limit)


@pytest.mark.parametrize("size", [2, 3, 13, 65, 300])
def test_it_is_the_definition(size):
    random = np.random.default_rng(size)
    logits = (4 * random.standard_normal((400, size))).astype(np.float32)
    logits[random.random(logits.shape) < 0.2] = -np.inf
    logits[:, random.integers(size)] = 0
    numbers = noise(size, np.arange(400), np.array([0]))[0]
    ids, logprobs = draw(logits, numbers)
    expected = np.array([naive(row, u) for row, u in zip(logits, numbers, strict=True)])
    # numpy's exponential may differ in its last bit: only where u lies at a boundary
    different = np.flatnonzero(ids != expected)
    for row in different:
        shares = np.cumsum(np.exp(logits[row].astype(float) - logits[row].max()))
        assert np.abs(shares / shares[-1] - numbers[row]).min() < 1e-6
    assert len(different) <= 1
    chances = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    chances /= chances.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.exp(logprobs), chances[np.arange(400), ids], rtol=1e-5)


def test_forbidden_symbols_are_never_drawn():
    inf = -np.inf
    rows = [[inf, 0, 1, inf], [inf, inf, 0, inf], [0, inf, inf, inf], [inf, inf, -190, 10]]
    assert draw(rows, [0.0] * 4)[0].tolist() == [1, 2, 0, 3]  # e^-200 is nothing in float32
    assert draw(rows, [LARGEST] * 4)[0].tolist() == [2, 2, 0, 3]


@pytest.mark.parametrize("size", [2, 7, 64, 1000, 5000])
def test_the_largest_noise_draws_the_last_allowed(size):
    random = np.random.default_rng(size)
    logits = random.standard_normal((200, size)).astype(np.float32)
    logits[:, -1] = -np.inf
    ids, _ = draw(logits, [LARGEST] * 200)
    assert (ids < size - 1).all()
    assert np.isfinite(logits[np.arange(200), ids]).all()


def test_equal_weights_part_at_equal_noise():
    logits = np.zeros((8, 4), np.float32)
    ids, _ = draw(logits, [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, LARGEST])
    assert ids.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_forced_symbols_are_not_drawn():
    logits = np.array([[0, -1, -2]] * 3, np.float32)
    ids, logprobs = draw(logits, [0.0] * 3, forced=[2, FREE, 1])
    assert ids.tolist() == [2, 0, 1]
    np.testing.assert_allclose(logprobs, [-2.4076059, -0.4076059, -1.4076059], rtol=1e-6)


def test_its_law():
    row = np.array([1.5, -0.3, 0.2, 2.2, -1.0, 0.9, 0.0, -2.5], np.float32)
    numbers = noise(11, np.arange(4), np.arange(50_000)).ravel()
    ids, _ = draw(np.tile(row, (len(numbers), 1)), numbers)
    chances = np.exp(row.astype(float)) / np.exp(row.astype(float)).sum()
    counts = np.bincount(ids, minlength=len(row))
    assert stats.chisquare(counts, chances * len(numbers)).pvalue > 1e-3
