"""Typical, epsilon and eta sampling against their definitions and against transformers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sampler_forms import STATELESS, both_forms, chances, expected_logits

FILTERS = {"typical": "mass", "epsilon": "epsilon", "eta": "epsilon"}
CASES = [(name, options) for name in FILTERS for options in STATELESS[name]]
SIZES = [2, 3, 13, 60]


def logits_of(seed, size, count=120):
    """Rows of many kinds: ordinary, peaked, flat, with ties, far from 0, some of it forbidden."""
    random = np.random.default_rng(seed)
    rows = random.standard_normal((count, size))
    rows *= random.choice([0.01, 1, 3, 20], size=(count, 1))
    rows += random.choice([0, -50, 40], size=(count, 1))
    tied = random.random(count) < 0.3
    rows[tied] = np.round(rows[tied])
    forbidden = random.random(rows.shape) < random.choice([0, 0.3, 0.9], size=(count, 1))
    forbidden[np.arange(count), random.integers(0, size, count)] = False
    return np.where(forbidden, -np.inf, rows).astype(np.float32)


def is_decided(name, option, row):
    """Whether float32 cannot decide which symbols stay: none is at the edge, or exactly so."""
    shares = chances(row)[np.isfinite(row)]
    finite = np.asarray(row, np.float64)[np.isfinite(row)]
    entropy = float(-(shares * np.log(np.maximum(shares, 1e-300))).sum())
    room = 1e-6 * (4 + np.ptp(finite))
    if name == "typical":
        if option == 1:
            return True
        distances = np.abs(-np.log(np.maximum(shares, 1e-300)) - entropy)
        order = np.argsort(distances)
        gaps, rises = np.diff(distances[order]), np.diff(finite[order])
        sums = np.cumsum(shares[order])
        ends = (gaps > 0) & (rises != 0)  # of equal symbols any may come first
        at_edge = np.abs(sums - option) < 1e-6
        return bool((gaps[rises != 0] > room).all() and not (at_edge[:-1] & ends).any())
    eta = option if name == "epsilon" else min(option, option**0.5 * np.exp(-entropy))
    away = np.abs(np.log(np.maximum(shares, 1e-300)) - np.log(eta)) > room
    return bool((away | (finite == finite.max())).all())  # the likeliest stays anyhow


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_they_keep_what_their_papers_say(name, options, size):
    logits = logits_of(size, size)
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


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_they_keep_what_transformers_keeps(name, options, size):
    torch = pytest.importorskip("torch")
    processors = pytest.importorskip("transformers.generation.logits_process")
    (option,) = options.values()
    if option == 1:
        pytest.skip("transformers has no such thing")
    theirs = {
        "typical": processors.TypicalLogitsWarper,
        "epsilon": processors.EpsilonLogitsWarper,
        "eta": processors.EtaLogitsWarper,
    }[name](option)
    logits = logits_of(100 + size, size)
    if name == "eta":  # its threshold is of float32 whatever the logits
        theirs.epsilon = theirs.epsilon.double()
    expected = theirs(None, torch.tensor(logits).double()).numpy()
    for found in both_forms(logits, (name, options)):
        for row, kept, wanted in zip(logits, found, expected, strict=True):
            if is_decided(name, option, row):
                np.testing.assert_array_equal(kept, wanted)


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
