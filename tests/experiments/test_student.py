"""Means, intervals and p values, against scipy's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from textgen.experiments.student import estimate, holm, p_value, quantile, within


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 8, 9, 19, 30, 101])
def test_the_distribution_is_students(degrees):
    for t in (0.0, 1e-3, 0.5, 1.0, 2.776, 7.3, 40.0):
        expected = stats.t.cdf(t, degrees) - stats.t.cdf(-t, degrees)
        assert within(t, degrees) == pytest.approx(expected, abs=1e-12)
    for share in (0.5, 0.9, 0.95, 0.99):
        assert quantile(share, degrees) == pytest.approx(stats.t.ppf((1 + share) / 2, degrees))


LOSSES = st.lists(st.floats(0.5, 9), min_size=2, max_size=12).filter(
    lambda values: max(values) - min(values) > 1e-3
)


@settings(max_examples=50)
@given(LOSSES)
def test_the_interval_is_scipys(values):
    found = estimate(values)
    sure = stats.ttest_1samp(values, 0.0)
    low, high = sure.confidence_interval(0.95)
    assert found.mean - found.half_width == pytest.approx(low)
    assert found.mean + found.half_width == pytest.approx(high)
    assert p_value(values) == pytest.approx(sure.pvalue, abs=1e-9)
    assert found.sure == (low > 0 or high < 0)
    assert found.count == len(values)


@settings(max_examples=50)
@given(LOSSES, st.data())
def test_differences_by_seed_are_the_paired_test(values, data):
    shifts = data.draw(st.lists(st.floats(-1, 1), min_size=len(values), max_size=len(values)))
    if max(shifts) - min(shifts) < 1e-3:
        return
    others = [value + shift for value, shift in zip(values, shifts, strict=True)]
    pairs = [a - b for a, b in zip(values, others, strict=True)]
    assert p_value(pairs) == pytest.approx(stats.ttest_rel(values, others).pvalue, abs=1e-7)


def test_of_one_value_there_is_no_interval_and_of_equal_ones_it_has_no_width():
    assert estimate([2.0]).half_width is None and not estimate([2.0]).sure
    assert estimate([2.0, 2.0, 2.0]).half_width == 0.0
    assert p_value([0.0, 0.0]) == 1.0 and p_value([0.5, 0.5]) == 0.0
    assert not math.isnan(p_value([1e-9, 2e-9]))


def test_holms_correction_is_his_example():
    # four tests at 0.05: the smallest is compared with 0.05 / 4, the next with 0.05 / 3
    assert holm([0.03, 0.01, 0.04, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm([0.02]) == [0.02] and holm([]) == [] and holm([0.6, 0.7]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holms_correction_rejects_what_his_procedure_does(values):
    corrected = holm(values)
    rejected = set()
    for before, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        if (len(values) - before) * values[place] >= 0.05:
            break
        rejected.add(place)
    assert {place for place, p in enumerate(corrected) if p < 0.05} == rejected
    assert all(p >= alone for p, alone in zip(corrected, values, strict=True))
