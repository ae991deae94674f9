"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from textgen.screen import figures


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1.0 kB"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1_115_394, "1.1 MB"),
        (2_500_000_000, "2.5 GB"),
        (7_200_000_000_000, "7.2 TB"),
        (None, "?"),
        (math.inf, "?"),
    ],
)
def test_size(count, shown):
    assert figures.size(count) == shown


def test_steps():
    assert [figures.steps(n) for n in (1, 2, 12_345)] == ["1 step", "2 steps", "12,345 steps"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0 s"),
        (48.4, "48 s"),
        (59.7, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.6, "1 h 00 min"),
        (12_000, "3 h 20 min"),
        (math.inf, "?"),
        (math.nan, "?"),
    ],
)
def test_duration(seconds, shown):
    assert figures.duration(seconds) == shown


def test_count():
    assert figures.count(1234567.8) == "1,234,568"
    assert figures.count(math.nan) == "?"


def test_sparkline_touches_both_ends():
    assert figures.sparkline([1, 2, 3, 4, 5, 6, 7, 8], 8) == "▁▂▃▄▅▆▇█"
    assert figures.sparkline([8, 1], 10) == "█▁"
    assert figures.sparkline([1, 1, 9, 9], 2) == "▁█"


def test_sparkline_of_odd_values():
    assert figures.sparkline([], 10) == ""
    assert figures.sparkline([3.0, 3.0], 10) == "▁▁"
    assert figures.sparkline([1.0, math.nan, math.inf, 2.0], 4) == "▁███"
    assert figures.sparkline([math.nan], 4) == "█"
    assert figures.sparkline([1.0], 0) == ""


def test_sparkline_cut_at_its_top():
    assert figures.sparkline([100.0, 8.0, 1.0], 3, top=8.0) == "██▁"
    assert figures.sparkline([5.0, 4.0], 2, top=1.0) == "▁▁"


def test_sparkline_in_ascii():
    line = figures.sparkline(range(6), 6, ascii_only=True)
    assert line.isascii() and len(set(line)) == 6


@pytest.mark.parametrize("length", [1, 7, 100, 513])
@pytest.mark.parametrize("width", [1, 10, 60])
def test_sparkline_never_exceeds_its_width(length, width):
    assert len(figures.sparkline(list(range(length)), width)) == min(length, width)
