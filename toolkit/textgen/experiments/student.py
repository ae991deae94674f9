"""Means of a few trainings and what they tell: Student's t, paired by seed.

The distribution: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and
26.7.4, finite sums for whole degrees of freedom. Several tests at once: Holm, A Simple Sequentially
Rejective Multiple Test Procedure (1979).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean of ``count`` values; its interval reaches ``half_width`` to both sides."""

    mean: float
    half_width: float | None
    """None of a single value, of which there is no interval."""
    count: int

    @property
    def sure(self) -> bool:
        """Whether zero is outside of the interval."""
        return self.half_width is not None and abs(self.mean) > self.half_width


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of one value or more, with its 95 % interval under a normal distribution."""
    count = len(values)
    mean = statistics.fmean(values)
    if count < 2:
        return Estimate(mean, None, count)
    error = statistics.stdev(values) / math.sqrt(count)
    return Estimate(mean, quantile(CONFIDENCE, count - 1) * error, count)


def p_value(values: Sequence[float]) -> float:
    """How often |t| would be as large, were the mean of such values, two or more, zero."""
    error = statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.fmean(values)
    if not error:
        return 0.0 if mean else 1.0
    return max(0.0, 1 - within(abs(mean) / error, len(values) - 1))


def holm(values: Sequence[float]) -> list[float]:
    """The p of several tests, each corrected for their number: where all below 0.05 are taken for
    true, one of them or more is by chance in at most one case of twenty."""
    ordered = sorted(range(len(values)), key=values.__getitem__)
    corrected, least = list(values), 0.0
    for before, place in enumerate(ordered):
        least = max(least, min(1.0, (len(values) - before) * values[place]))
        corrected[place] = least
    return corrected


def within(t: float, degrees: int) -> float:
    """The probability of a value between -t and t with whole ``degrees`` of freedom."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine = math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    if odd:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total


def quantile(probability: float, degrees: int) -> float:
    """The t with ``within(t, degrees) == probability``, found by halving."""
    low, high = 0.0, 1.0
    while within(high, degrees) < probability:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        if within(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return high
