"""Targets: what is to be predicted in a split's documents, as ranges of packed ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

_SAMPLE = 10_000


class Spans(Protocol):
    """Half-open ranges of ids, (n, 2) int64: an array, or what is looked up as its rows are."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: Any) -> np.ndarray: ...


class Targets:
    """The spans of a split over ``ids``; both may be memory-mapped. ``within`` is how many symbols
    the spans have, where it is known: to count those of millions takes a while.

    Symbols are counted as they are predicted, so the boundary that closes a document is one.
    """

    def __init__(
        self, ids: np.ndarray, spans: Spans, boundary: int, within: int | None = None
    ) -> None:
        self.ids = ids
        self.spans = spans
        self.boundary = boundary
        self._within = within

    def __len__(self) -> int:
        return len(self.spans)

    def range(self, span: int) -> tuple[int, int]:
        """The targets of a span: its symbols, and the boundary that closes it."""
        ((start, end),) = self.ranges([span]).tolist()
        return start, end

    def ranges(self, spans: Sequence[int] | np.ndarray) -> np.ndarray:
        """Those of several spans, int64 (n, 2)."""
        found = np.array(self.spans[np.asarray(spans, np.int64)], np.int64)
        last = len(self.ids) - 1
        ends = found[:, 1]
        ends += (ends <= last) & (self.ids[np.minimum(ends, last)] == self.boundary)
        return found

    def blocks(self, size: int = 1 << 18) -> Iterator[np.ndarray]:
        """The spans, ``size`` at a time: tables of all of them might not fit into memory."""
        for start in range(0, len(self.spans), size):
            yield np.asarray(self.spans[start : start + size])

    def symbols(self) -> int:
        """How many there are: exact but for the boundaries, which are counted in a sample."""
        if self._within is None:
            self._within = sum(int((block[:, 1] - block[:, 0]).sum()) for block in self.blocks())
        chosen = self._sample()
        # in a split by documents all spans end with a boundary, in a cut text none
        closed = int((self.ranges(chosen) - self.spans[chosen])[:, 1].sum())
        return self._within + round(len(self.spans) * closed / max(1, len(chosen)))

    def median_length(self) -> float:
        """The median of the spans' lengths, from a sample."""
        chosen = self._sample()
        starts, ends = self.spans[chosen].T
        return float(np.median(ends - starts))

    def _sample(self) -> np.ndarray:
        """The numbers of some spans, evenly spread."""
        count = len(self.spans)
        return np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64)
