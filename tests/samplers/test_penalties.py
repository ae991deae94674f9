"""Repetition, presence and frequency penalties and no-repeat-ngram: what has been said, counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampler_forms import (
    REGISTRY,
    REMEMBERING,
    STREAMS,
    both_forms,
    chain_of,
    expected_logits,
    histories,
    rows_to_penalise,
)

from textgen.contracts.options import build_options

NAMES = ["repetition", "presence", "frequency", "no-repeat-ngram"]
CASES = [(name, options) for name in NAMES for options in REMEMBERING[name]]


def complete(name, options):
    """The options, those left out with their defaults."""
    return vars(build_options(REGISTRY.load("sampler", name).Options, options, name))


@pytest.mark.parametrize("size", [2, 5, 40])
@pytest.mark.parametrize("length", [0, 1, 3, 40])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_they_are_their_definitions(name, options, length, size):
    random = np.random.default_rng(length)
    logits, history = rows_to_penalise(random, STREAMS, size), histories(random, length, size)
    adjusted, found = both_forms(logits, (name, options), history=history)
    np.testing.assert_array_equal(found, adjusted)
    for row, kept, ids in zip(logits, adjusted, history.T, strict=True):
        expected = expected_logits(name, complete(name, options), row, ids.tolist())
        np.testing.assert_array_equal(np.isfinite(kept), np.isfinite(expected))
        np.testing.assert_allclose(kept, expected, rtol=1e-5, atol=1e-5)


texts = st.lists(st.integers(0, 3), max_size=40)


@settings(max_examples=60, deadline=None)
@given(texts, st.integers(1, 6), st.integers(1, 12))
def test_ngrams_in_a_window(history, size, window):
    row = np.array([0.5, 2, -1, 1], np.float32)
    options = {"size": size, "window": window}
    ids = np.array(history, np.int64)[:, None]
    expected = expected_logits("no-repeat-ngram", options, row, history)
    for found in both_forms([row], ("no-repeat-ngram", options), history=ids):
        np.testing.assert_array_equal(found[0], expected.astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(texts, st.integers(0, 12), st.sampled_from(NAMES[:3]))
def test_counts_in_a_window(history, window, name):
    row = np.array([0.5, 2, -1, 1], np.float32)
    options = {"penalty": 0.75, "window": window}
    ids = np.array(history, np.int64)[:, None]
    expected = expected_logits(name, options, row, history)
    for found in both_forms([row], (name, options), history=ids):
        np.testing.assert_allclose(found[0], expected, rtol=1e-6)


def test_the_boundary_counts_where_it_was_written():
    for found in both_forms([[1.0, 1.0]], ("presence", {"penalty": 1}), history=[[0]]):
        np.testing.assert_array_equal(found, [[0, 1]])


def test_a_penalty_of_none_changes_nothing():
    random = np.random.default_rng(0)
    logits, history = rows_to_penalise(random, STREAMS, 9), histories(random, 20, 9)
    for choice in (("repetition", {"penalty": 1}), *((n, {"penalty": 0}) for n in NAMES[1:3])):
        for found in both_forms(logits, choice, history=history):
            np.testing.assert_array_equal(found, logits)


def test_the_window_is_the_shape_and_the_rest_are_inputs():
    def key(**options):
        return chain_of(("frequency", options), size=7).key

    assert key(penalty=1) == key(penalty=2)
    assert key(window=3) != key(window=4) != key()
    ngram = [chain_of(("no-repeat-ngram", {"size": n}), size=7).key for n in (2, 9)]
    assert ngram[0] == ngram[1]
