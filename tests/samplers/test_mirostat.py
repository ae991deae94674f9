"""Mirostat: what it keeps, how mu moves, and that the text surprises as much as was asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sampler_forms import both_forms, chain_of, chances, expected_logits

rows = st.lists(st.integers(-400, 400), min_size=2, max_size=20).map(
    lambda values: [value / 64 for value in values]
)


@settings(max_examples=80, deadline=None)
@given(rows, st.floats(0.02, 12), st.floats(0, 1), st.integers(0, 30))
def test_it_is_its_definition(row, tau, eta, turns):
    """Each symbol of the history was drawn with a probability of a quarter: two bits."""
    tau, eta = float(np.float32(tau)), float(np.float32(eta))
    mu = 2 * tau
    for _ in range(turns):
        mu = min(mu - eta * (min(2, mu) - tau), 24)
    surprise = -np.log2(chances(row))
    assume(np.abs(surprise - mu).min() > 1e-4)
    expected = expected_logits("mirostat", {}, row, mu=mu)
    history = np.zeros((turns, 1), np.int64)
    for found in both_forms([row], ("mirostat", {"tau": tau, "eta": eta}), history=history):
        np.testing.assert_array_equal(found[0], expected.astype(np.float32))


@pytest.mark.parametrize("row", [[0, 0, 0, 0], [90, 0, -90], [0, -np.inf, 0], [1e30, -1e30, 0]])
def test_the_likeliest_stay(row):
    for found in both_forms([row], ("mirostat", {"tau": 0.01})):
        np.testing.assert_array_equal(np.isfinite(found[0]), np.array(row) == max(row))


@pytest.mark.parametrize("tau", [0.5, 1.5, 3.0])
def test_the_text_surprises_as_asked(tau):
    """Over 4000 symbols of rows that could surprise by more, the mean is tau."""
    random = np.random.default_rng(1)
    chain = chain_of(("mirostat", {"tau": tau, "eta": 0.1}), size=64)
    options, state, bits = chain.options(1), chain.initial_state(1), []
    for _ in range(4000):
        logits = random.standard_normal((1, 64)).astype(np.float32)
        shares = chances(chain.adjust(logits, state, options)[0])
        symbol = random.choice(64, p=shares)
        logprob = np.log(shares[symbol])
        bits.append(-logprob / math.log(2))
        state = chain.accept(np.array([symbol]), np.array([logprob], np.float32), state)
    assert np.mean(bits[200:]) == pytest.approx(tau, abs=0.03)


def mu_after(logprob, turns, **options):
    chain = chain_of(("mirostat", options), size=64)
    state, logprobs = chain.initial_state(1), np.array([logprob], np.float32)
    for _ in range(turns):
        state = chain.accept(np.array([3]), logprobs, state)
    return state[0]["mu"].item()


def test_no_prompt_brings_mu_to_the_ground_or_out_of_sight():
    assert mu_after(-60, 5000, tau=2) == pytest.approx(2, abs=1e-3)
    assert mu_after(-np.inf, 5000, tau=2) == pytest.approx(2, abs=1e-3)
    assert mu_after(0, 5000, tau=2) == 24
    assert mu_after(0, 1, tau=2, eta=0.1) == pytest.approx(4.2)
    assert mu_after(-2 * math.log(2), 1, tau=3, eta=0.5) == pytest.approx(6.5)
    assert mu_after(-40, 9, tau=2, eta=1) > 0


def test_tau_and_eta_are_inputs():
    keys = {chain_of(("mirostat", {"tau": tau, "eta": 0.3}), size=5).key for tau in (1, 2)}
    assert len(keys) == 1
