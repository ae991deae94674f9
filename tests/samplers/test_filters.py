"""Typical, epsilon and eta sampling against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sampler_forms import (
    STATELESS,
    both_forms,
    expected_logits,
    is_decided,
    rows_of_many_kinds,
)

FILTERS = {"typical": "mass", "epsilon": "epsilon", "eta": "epsilon"}
CASES = [(name, options) for name in FILTERS for options in STATELESS[name]]
SIZES = [2, 3, 13, 60]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_they_keep_what_their_papers_say(name, options, size):
    logits = rows_of_many_kinds(size, size)
    adjusted, found = both_forms(logits, (name, options))
    np.testing.assert_array_equal(found, adjusted)
    decided = 0
    for row, kept in zip(logits, adjusted, strict=True):
        assert np.isfinite(kept).any()
        (option,) = options.values()
        if is_decided(name, option, row):
            decided += 1
            expected = expected_logits(name, options, row)
            np.testing.assert_array_equal(kept, expected.astype(np.float32))
    assert decided > 0.7 * len(logits)


rows = st.lists(st.integers(-400, 400), min_size=2, max_size=20).map(
    lambda values: [value / 64 for value in values]
)


@settings(max_examples=60, deadline=None)
@given(rows, st.floats(1e-5, 1), st.sampled_from(sorted(FILTERS)))
def test_they_are_their_definitions(row, option, name):
    option = float(np.float32(option))
    assume(is_decided(name, option, row))
    expected = expected_logits(name, {FILTERS[name]: option}, row)
    for found in both_forms([row], (name, {FILTERS[name]: option})):
        np.testing.assert_array_equal(found[0], expected.astype(np.float32))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_equals_stay_or_go_together(name, options):
    for found in both_forms([[2, 1, 1, 1, -3], [0, 0, 0, 0, 0]], (name, options)):
        assert len(set(np.isfinite(found[0, 1:4]))) == 1
        assert np.isfinite(found[1]).all()


@pytest.mark.parametrize("logits", [[1e30, 0, -1e30], [0, -np.inf, -np.inf], [-1e5, -1e5, -9e4]])
@pytest.mark.parametrize("name", FILTERS)
def test_extreme_rows_are_no_trouble(name, logits):
    for found in both_forms([logits], (name, {FILTERS[name]: 0.5})):
        assert np.isfinite(found).any()
        assert not np.isnan(found).any()
        assert found[0].argmax() == np.argmax(logits)


def test_exactly_epsilon_is_kept():
    for found in both_forms([[0, 0, 0, 0]], ("epsilon", {"epsilon": 0.25})):
        assert np.isfinite(found).all()


def test_what_is_too_likely_is_not_typical():
    """One symbol holds a half and 64 share the rest: their surprise is nearer to the entropy."""
    row = np.log([0.5, *[0.5 / 64] * 64])
    for found in both_forms([row], ("typical", {"mass": 0.2})):
        assert np.isneginf(found[0, 0])
        assert np.isfinite(found[0, 1:]).all()


def test_eta_cuts_less_where_more_is_open():
    """Of epsilon 0.01 the threshold is 0.01 where the entropy is low, 0.1 / V where all is open."""
    closed, opened = np.log([0.991, *[0.001] * 9]), np.zeros(64)
    for found in both_forms([closed], ("eta", {"epsilon": 0.01})):
        assert np.isfinite(found).sum() == 1
    for found in both_forms([opened], ("eta", {"epsilon": 0.02})):
        assert np.isfinite(found).all()
