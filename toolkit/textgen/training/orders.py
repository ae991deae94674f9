"""The two orders in which documents reach the rows of a batch; chosen by which of them pads less.

*Rows* follow each other's documents (running text), cut into segments so that there is work for
every row. *Buckets* of documents of like length go side by side (names, lines).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from textgen.training.permutation import permuted, permuted_all
from textgen.training.targets import Targets

Advance = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of each row: start and end of its next targets, and whether it begins a segment; (B,) each."""

_POOL = 64
"""Batches whose documents are sorted by length together."""

_LONGEST = 256
"""Chunks after which a segment ends at the latest."""

_SHORTEST = 4
"""Chunks that a segment has at least, so that rows of a small text still learn from context."""

_BLOCK = 1024
"""Spans whose segments are counted together: the table of segments is that much smaller."""


class Rows:
    """Every row reads a segment to its end, then takes the next in a shuffled order."""

    def __init__(self, targets: Targets, rows: int, length: int, seed: int) -> None:
        self._targets = targets
        self._seed = seed
        total = targets.symbols()
        turns = -(-total // (rows * _LONGEST * length))
        self._segment = max(_SHORTEST * length, -(-total // (rows * turns)))
        self._epoch = -1
        self._next = 0
        self._rows = [(0, 0)] * rows
        self._begin_epoch()

    def advance(self, length: int) -> Advance:
        """What the rows predict next, at most ``length`` symbols each."""
        count = len(self._rows)
        starts, ends = np.zeros(count, np.int64), np.zeros(count, np.int64)
        fresh = np.zeros(count, bool)
        for row, (at, end) in enumerate(self._rows):
            if at >= end:
                at, end = self._take()
                fresh[row] = True
            starts[row], ends[row] = at, min(end, at + length)
            self._rows[row] = (int(ends[row]), end)
        return starts, ends, fresh

    def cursor(self) -> dict[str, Any]:
        return {"epoch": self._epoch, "next": self._next, "rows": [list(row) for row in self._rows]}

    def restore(self, cursor: dict[str, Any]) -> None:
        self._epoch = cursor["epoch"] - 1
        self._begin_epoch()
        self._next = cursor["next"]
        self._rows = [(row[0], row[1]) for row in cursor["rows"]]

    def _begin_epoch(self) -> None:
        """A new offset, so that segments do not begin at the same places in every epoch."""
        self._epoch += 1
        self._next = 0
        random = np.random.default_rng((self._seed, 2, self._epoch))
        self._offset = int(random.integers(self._segment)) if self._epoch else 0
        counts = [0]
        for spans in self._targets.blocks(256 * _BLOCK):
            pieces = self._pieces(spans[:, 1] - spans[:, 0])
            counts += np.add.reduceat(pieces, np.arange(0, len(pieces), _BLOCK)).tolist()
        self._firsts = np.cumsum(counts)

    def _pieces(self, lengths: np.ndarray) -> np.ndarray:
        """How many segments documents of these lengths make with this epoch's offset."""
        first = np.minimum(lengths, self._offset or self._segment)
        pieces: np.ndarray = (first > 0) + -(-(lengths - first) // self._segment)
        return pieces

    def _take(self) -> tuple[int, int]:
        """The targets of the next segment of the epoch, or of the next epoch."""
        if self._next >= self._firsts[-1]:
            self._begin_epoch()
        chosen = permuted(self._next, int(self._firsts[-1]), (self._seed, 3, self._epoch))
        self._next += 1
        span, piece = self._find(chosen)
        start, end = self._targets.range(span)
        length = int(self._targets.spans[span][1]) - start
        first = min(length, self._offset or self._segment)
        low = 0 if piece == 0 else first + (piece - 1) * self._segment
        high = first + piece * self._segment
        return start + low, end if high >= length else start + high

    def _find(self, segment: int) -> tuple[int, int]:
        """The span of the segment with this number, and which of its pieces it is."""
        block = int(np.searchsorted(self._firsts, segment, side="right")) - 1
        spans = self._targets.spans[block * _BLOCK : (block + 1) * _BLOCK]
        ends = np.cumsum(self._pieces(spans[:, 1] - spans[:, 0])) + self._firsts[block]
        within = int(np.searchsorted(ends, segment, side="right"))
        before = int(ends[within - 1]) if within else int(self._firsts[block])
        return block * _BLOCK + within, segment - before


class Buckets:
    """Documents of like length side by side, all rows beginning and ending together."""

    def __init__(self, targets: Targets, rows: int, seed: int) -> None:
        self._targets = targets
        self._rows = rows
        self._seed = seed
        self._epoch = 0
        self._pool = 0
        self._group = 0
        self._chunk = 0
        self._begin_pool()

    def advance(self, length: int) -> Advance:
        """What the rows predict next, at most ``length`` symbols each: the same in every step."""
        ranges = self._groups[self._group]
        starts = np.minimum(ranges[:, 0] + self._chunk * length, ranges[:, 1])
        ends = np.minimum(starts + length, ranges[:, 1])
        fresh = np.full(self._rows, self._chunk == 0)
        self._chunk += 1
        if (ends >= ranges[:, 1]).all():
            self._group, self._chunk = self._group + 1, 0
            if self._group == len(self._groups):
                self._next_pool()
        return starts, ends, fresh

    def cursor(self) -> dict[str, Any]:
        where = (self._epoch, self._pool, self._group, self._chunk)
        return dict(zip(("epoch", "pool", "group", "chunk"), where, strict=True))

    def restore(self, cursor: dict[str, Any]) -> None:
        self._epoch, self._pool = cursor["epoch"], cursor["pool"]
        self._begin_pool()
        self._group, self._chunk = cursor["group"], cursor["chunk"]

    def _next_pool(self) -> None:
        self._pool += 1
        if self._pool * _POOL * self._rows >= len(self._targets):
            self._epoch, self._pool = self._epoch + 1, 0
        self._begin_pool()

    def _begin_pool(self) -> None:
        """Sorts a shuffled pool of documents by length and deals it out in shuffled groups."""
        count, size = len(self._targets), _POOL * self._rows
        first = self._pool * size
        key = (self._seed, 3, self._epoch)
        chosen = permuted_all(np.arange(first, min(count, first + size)), count, key)
        ranges = self._targets.ranges(chosen)
        ranges = ranges[np.argsort(ranges[:, 1] - ranges[:, 0], kind="stable")]
        short = -len(ranges) % self._rows
        ranges = np.concatenate([np.zeros((short, 2), np.int64), ranges])
        groups = ranges.reshape(-1, self._rows, 2)
        order = np.random.default_rng((self._seed, 4, self._epoch, self._pool))
        self._groups = groups[order.permutation(len(groups))]
        self._group, self._chunk = 0, 0
