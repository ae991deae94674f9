"""The bundled samplers against their definitions, written out naively, and against their laws."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sampler_forms import REGISTRY, REMEMBERING, STATELESS, both_forms, chain_of, chances
from scipy import stats

from textgen.conformance.check_sampler import check_sampler
from textgen.contracts.errors import UserError
from textgen.contracts.options import build_options, describe
from textgen.runtime.chain import convenience
from textgen.runtime.names import FREE
from textgen.runtime.noise import noise
from textgen.runtime.sampling_graph import draw_graph

NAMES = REGISTRY.names("sampler")
DRAWS = 200_000

OPTIONS = {
    "greedy": [{}],
    "temperature": [{"temperature": t} for t in (1e-6, 0.5, 1, 1.7, 1e6)],
    "top-k": [{"k": k} for k in (1, 2, 5, 10**6)],
    "top-p": [{"p": p} for p in (1e-6, 0.3, 0.75, 0.9, 1)],
    "min-p": [{"p": p} for p in (1e-9, 0.02, 0.3, 1)],
}
CASES = [(name, options) for name in OPTIONS for options in OPTIONS[name]]
ALL = [*OPTIONS, *STATELESS, *REMEMBERING]


def expected_chances(name, options, row):
    """The distribution that a sampler claims, from its paper's words, in double precision."""
    found = chances(row)
    order = sorted(range(len(row)), key=lambda i: (-row[i], i))
    if name == "greedy":
        kept = order[:1]
    elif name == "temperature":
        return chances([logit / options["temperature"] for logit in row])
    elif name == "top-k":
        kept = order[: options["k"]]
    elif name == "top-p":
        kept, mass = [], 0.0
        for i in order:
            if mass >= options["p"]:
                break
            kept.append(i)
            mass += found[i]
    else:
        kept = [i for i in order if found[i] >= options["p"] * found.max()]
    masked = np.array([p if i in kept else 0 for i, p in enumerate(found)])
    return masked / masked.sum()


def test_every_bundled_sampler_is_tried_here():
    assert set(ALL) <= set(NAMES)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_they_conform(name, options):
    check_sampler(REGISTRY.load("sampler", name), options)
    check_sampler(REGISTRY.load("sampler", name), options, vocabulary_size=2)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_their_law(name, options):
    """Chi-square of 200,000 draws, through the graphs that the loop uses."""
    row = np.array([1.1, -0.4, 2.0, 0.3, -np.inf, 0.9, -1.5, 1.6, 0.0, -2.2], np.float32)
    if options == {"temperature": 1e-6}:
        row = np.array([1.0, 1.0 - 1e-6, 0.5], np.float32)
    expected = expected_chances(name, options, row.tolist())
    logits = np.tile(row, (DRAWS, 1))
    _, adjusted = both_forms(logits, (name, options))
    session = onnxruntime.InferenceSession(
        draw_graph(len(row)).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    numbers = noise(21, np.arange(DRAWS), np.array([3]))[0]
    forced = np.full(DRAWS, FREE, np.int64)
    feed = {"logits": logits, "adjusted": adjusted, "noise": numbers, "forced": forced}
    ids, _ = session.run(["ids", "logprobs"], feed)
    counts = np.bincount(ids, minlength=len(row))
    possible = expected > 1e-12
    assert counts[~possible].sum() == 0
    if possible.sum() > 1:
        assert stats.chisquare(counts[possible], expected[possible] * DRAWS).pvalue > 1e-3


rows = st.lists(st.integers(-400, 400), min_size=2, max_size=20, unique=True).map(
    lambda values: [value / 64 for value in values]
)


@settings(max_examples=60, deadline=None)
@given(rows, st.integers(1, 25))
def test_top_k_keeps_the_k_likeliest(row, k):
    expected = expected_chances("top-k", {"k": k}, row) > 0
    for found in both_forms([row], ("top-k", {"k": k})):
        np.testing.assert_array_equal(np.isfinite(found[0]), expected)
        np.testing.assert_array_equal(found[0][expected], np.float32(row)[expected])


@settings(max_examples=60, deadline=None)
@given(rows, st.floats(1e-6, 1))
def test_top_p_keeps_the_smallest_set_that_reaches_p(row, p):
    sums = np.cumsum(sorted(chances(row), reverse=True))
    assume(p == 1 or np.abs(sums - p).min() > 1e-5)  # not where float32 may decide
    kept = expected_chances("top-p", {"p": p}, row) > 0
    kept |= p == 1
    for found in both_forms([row], ("top-p", {"p": p})):
        np.testing.assert_array_equal(np.isfinite(found[0]), kept)


@settings(max_examples=60, deadline=None)
@given(rows, st.floats(1e-9, 1))
def test_min_p_keeps_what_is_likely_beside_the_likeliest(row, p):
    shares = chances(row) / max(chances(row))
    assume(np.abs(np.log(shares) - np.log(p)).min() > 1e-4)
    for found in both_forms([row], ("min-p", {"p": p})):
        np.testing.assert_array_equal(np.isfinite(found[0]), shares >= p)


@settings(max_examples=60, deadline=None)
@given(rows, st.floats(1e-6, 1e6))
def test_temperature_is_a_division(row, temperature):
    expected = chances([logit / np.float32(temperature) for logit in row])
    for found in both_forms([row], ("temperature", {"temperature": temperature})):
        assert not np.isnan(found).any()
        np.testing.assert_allclose(chances(found[0].tolist()), expected, rtol=1e-4, atol=1e-30)


def test_greedy_takes_the_first_of_equals():
    for found in both_forms([[0, 3, 3, 1], [5, 5, 5, 5], [-np.inf, -2, -9, -2]], "greedy"):
        assert np.isfinite(found).argmax(axis=1).tolist() == [1, 0, 1]
        assert np.isfinite(found).sum(axis=1).tolist() == [1, 1, 1]


@pytest.mark.parametrize("choice", [("top-k", {"k": 2}), ("top-p", {"p": 0.5})])
def test_equals_stay_or_go_together(choice):
    """Both forms cut by a threshold, so what ties with the last one kept is kept."""
    for found in both_forms([[2, 1, 1, 1, -3], [0, 0, 0, 0, 0]], choice):
        assert np.isfinite(found[1]).all()
        assert np.isfinite(found[0]).tolist() == [True] * 4 + [False]


def test_they_do_not_bring_back_what_is_forbidden():
    row = np.array([[-np.inf, 0, -np.inf, 1]], np.float32)
    for name in NAMES:
        for found in both_forms(row, name):
            assert np.isneginf(found[0, [0, 2]]).all()
            assert not np.isnan(found).any()


def test_p_of_one_keeps_even_what_float32_cannot_add():
    row = [30.0, *([0.0] * 9)]  # e^-30 beside 1
    for found in both_forms([row], ("top-p", {"p": 1})):
        assert np.isfinite(found).all()


def test_a_chain_is_applied_in_its_order():
    row = [[3.0, 2.9, 1.0, 0.0]]
    cold_first = both_forms(row, ("temperature", {"temperature": 0.1}), ("top-p", {"p": 0.7}))
    cold_last = both_forms(row, ("top-p", {"p": 0.7}), ("temperature", {"temperature": 0.1}))
    for first, last in zip(cold_first, cold_last, strict=True):
        assert np.isfinite(first).sum() == 1
        assert np.isfinite(last).sum() == 2


def test_rows_may_have_options_of_their_own():
    chain = chain_of(("top-k", {}), size=5)
    logits = np.tile(np.arange(5, dtype=np.float32), (3, 1))
    options = SimpleNamespace(k=np.array([[1], [3], [99]]))
    found = chain.links[0].sampler.adjust(logits, {}, options)
    assert np.isfinite(found).sum(axis=1).tolist() == [1, 3, 5]


def test_convenience_is_in_transformers_order():
    def names_of(*given):
        return [c if isinstance(c, str) else c[0] for c in convenience(*given)]

    assert names_of(0.5, 3, 0.9, 0.1) == ["temperature", "top-k", "top-p", "min-p"]
    assert names_of(1, None, 0.9, None) == ["top-p"]
    assert names_of(0, 3, 0.9, 0.1) == ["greedy"]
    assert names_of(1.0, None, None, None) == []


@pytest.mark.parametrize("name", ALL)
def test_bounds_are_kept_and_told(name):
    plugin = REGISTRY.load("sampler", name)
    for info in describe(plugin.Options):
        assert info.help
        if info.type is str:
            continue
        below = info.bounds["minimum"] - 1
        assert info.limits
        for wrong in (below, "nan", "inf", "1e400", "x", 10**40):
            with pytest.raises(UserError):
                build_options(plugin.Options, {info.name: wrong}, f"sampler {name!r}")


@pytest.mark.parametrize("name", ALL)
def test_sources_are_named(name):
    module = __import__(REGISTRY.load("sampler", name).__module__, fromlist=["x"])
    known = ("arXiv", "1985", "OpenAI", "transformers", "a temperature near 0")
    assert any(word in module.__doc__ for word in known)
