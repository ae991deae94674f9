"""What is to be predicted in the documents of a split, as half-open ranges of packed ids.

A document's closing boundary is a symbol to predict like any other; a span that continues a
document has no context for its first symbol, which is not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

WINDOW = 256
"""Symbols of a cold window, as nanoGPT's are."""

Range = tuple[int, int]


def target_ranges(
    ids: np.ndarray, spans: Iterable[Iterable[int]], boundary: int, *, limit: int
) -> Iterator[Range]:
    """The targets of each span, of which the first ``limit`` symbols count."""
    left = limit
    for start, end in spans:
        start, end = int(start), int(end)
        end += end < len(ids) and int(ids[end]) == boundary
        start += int(ids[start - 1]) != boundary
        end = min(end, start + left)
        if end > start:
            yield start, end
            left -= end - start
        if left <= 0:
            return


def context(ids: np.ndarray, start: int, boundary: int) -> int:
    """Where reading begins, after a boundary, for targets from ``start`` on: at the symbol before
    them, or at themselves where that is a boundary itself."""
    return start if int(ids[start - 1]) == boundary else start - 1


def windows(ranges: Sequence[Range], *, limit: int | None = None) -> list[Range]:
    """All consecutive windows of the ranges; about ``limit`` symbols of them, evenly spread, where
    given."""
    found = [
        (low, min(low + WINDOW, end)) for start, end in ranges for low in range(start, end, WINDOW)
    ]
    symbols = sum(end - start for start, end in ranges)
    if limit is not None and symbols > limit:
        count = max(1, len(found) * limit // symbols)
        found = [found[i] for i in np.linspace(0, len(found) - 1, count).astype(int)]
    return found
