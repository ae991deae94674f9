"""Streams: batches of text for truncated backpropagation through time.

Each of B rows reads one document at a time, T symbols a step, and carries its state from step to
step. A row never holds two documents: what is left of a chunk after a document's end is padding.
Long documents are cut into segments so that there is work for every row; where a segment does not
begin its document, and at random resets, the row starts from the initial state with the boundary
symbol as its first input.

Two orders, chosen by which of them pads less: *rows* follow each other's documents (running text),
and *buckets* of documents of like length go side by side (names, lines).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.training.permutation import permuted

IGNORED = -100
"""The target of padding; cross-entropy leaves it out."""

_POOL = 64
"""Batches whose documents are sorted by length together."""

_LONGEST = 256
"""Chunks after which a segment ends at the latest."""

_SHORTEST = 4
"""Chunks that a segment has at least, so that rows of a small text still learn from context."""

_BLOCK = 1024
"""Spans whose segments are counted together: the table of segments is that much smaller."""

_LOOK = 256
"""Steps looked ahead at to tell how many symbols a step shows."""


@dataclass(frozen=True)
class Batch:
    """One step's symbols: ``inputs`` and ``targets`` (T, B) int64, ``reset`` (B,) bool."""

    inputs: np.ndarray
    targets: np.ndarray
    reset: np.ndarray
    symbols: int
    """Targets that count."""


class Streams:
    """An endless, restorable sequence of batches over some spans of packed ids.

    ``ids`` and ``spans`` (n, 2) may be memory-mapped; no table of all documents is ever made.
    Symbols are counted as they are predicted, so the boundary that closes a document is one.
    """

    def __init__(
        self,
        ids: np.ndarray,
        spans: np.ndarray,
        boundary: int,
        *,
        batch_size: int,
        sequence_length: int,
        reset_probability: float,
        seed: int,
    ) -> None:
        self._ids = ids
        self._spans = spans
        self._boundary = boundary
        self._batch = batch_size
        self._length = sequence_length
        self._reset_probability = reset_probability
        self._seed = seed
        lengths = _sample_lengths(spans)
        self.bucketed = bool(np.median(lengths) < 4 * sequence_length)
        self.symbols_in_epoch = _total(spans) + self._closing_boundaries()
        self._order = self._first_order()
        self._step = 0
        self.shown = 0
        self.padded = 0

    @property
    def epoch(self) -> float:
        """How many passes over the text have been made."""
        return self.shown / max(1, self.symbols_in_epoch)

    @property
    def padding(self) -> float:
        """The share of padding in what the network has computed."""
        return self.padded / max(1, self.padded + self.shown)

    def next(self) -> Batch:
        """The next batch."""
        starts, ends, fresh = self._order.advance()
        random = np.random.default_rng((self._seed, 1, self._step))
        reset = fresh | (random.random(self._batch) < self._reset_probability)
        self._step += 1
        length = int(max(1, (ends - starts).max()))
        inputs = np.full((length, self._batch), self._boundary, np.int64)
        targets = np.full((length, self._batch), IGNORED, np.int64)
        for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            count = end - start
            if count:
                text = self._ids[start - 1 : end]
                inputs[:count, row] = text[:-1]
                targets[:count, row] = text[1:]
        inputs[0, reset] = self._boundary
        counted = int((ends - starts).sum())
        self.shown += counted
        self.padded += length * self._batch - counted
        return Batch(inputs, targets, reset, counted)

    def look_ahead(self) -> tuple[float, float]:
        """The mean number of symbols that one of the first steps shows, and the share of padding
        beside them."""
        order, symbols, computed = self._first_order(), 0, 0
        for _ in range(_LOOK):
            starts, ends, _ = order.advance()
            symbols += int((ends - starts).sum())
            computed += int((ends - starts).max()) * self._batch
        return symbols / _LOOK, 1 - symbols / max(1, computed)

    def cursor(self) -> dict[str, Any]:
        """Where the streams are, as JSON values."""
        return {
            "step": self._step,
            "shown": self.shown,
            "padded": self.padded,
            "order": self._order.cursor(),
        }

    def restore(self, cursor: dict[str, Any]) -> None:
        """Goes on from ``cursor``."""
        self._step = cursor["step"]
        self.shown = cursor["shown"]
        self.padded = cursor["padded"]
        self._order.restore(cursor["order"])

    def target_range(self, span: int) -> tuple[int, int]:
        """The targets of a span as a range of ids: its symbols, and the boundary that closes it."""
        start, end = (int(edge) for edge in self._spans[span])
        closed = end < len(self._ids) and int(self._ids[end]) == self._boundary
        return start, end + closed

    def _first_order(self) -> _Buckets | _Rows:
        return _Buckets(self) if self.bucketed else _Rows(self)

    def _closing_boundaries(self) -> int:
        """How many spans end with a boundary: in a split by documents all, in a cut text none."""
        chosen = _sample(self._spans).tolist()
        closed = sum(self.target_range(span)[1] > int(self._spans[span, 1]) for span in chosen)
        return round(len(self._spans) * closed / max(1, len(chosen)))


class _Rows:
    """Every row reads a segment to its end, then takes the next in a shuffled order."""

    def __init__(self, streams: Streams) -> None:
        self._s = streams
        total, rows = streams.symbols_in_epoch, streams._batch
        turns = -(-total // (rows * _LONGEST * streams._length))
        self._segment = max(_SHORTEST * streams._length, -(-total // (rows * turns)))
        self._epoch = -1
        self._next = 0
        self._rows = [(0, 0)] * rows
        self._begin_epoch()

    def advance(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Start and end of each row's next targets, and whether the row begins a segment."""
        starts = np.zeros(self._s._batch, np.int64)
        ends = np.zeros(self._s._batch, np.int64)
        fresh = np.zeros(self._s._batch, bool)
        for row, (at, end) in enumerate(self._rows):
            if at >= end:
                at, end = self._take()
                fresh[row] = True
            starts[row], ends[row] = at, min(end, at + self._s._length)
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
        random = np.random.default_rng((self._s._seed, 2, self._epoch))
        self._offset = int(random.integers(self._segment)) if self._epoch else 0
        counts = [0]
        for spans in _in_blocks(self._s._spans):
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
        count = int(self._firsts[-1])
        chosen = permuted(self._next, count, (self._s._seed, 3, self._epoch))
        self._next += 1
        span, piece = self._find(chosen)
        start, end = self._s.target_range(span)
        length = int(self._s._spans[span, 1]) - start
        first = min(length, self._offset or self._segment)
        low = 0 if piece == 0 else first + (piece - 1) * self._segment
        high = first + piece * self._segment
        return start + low, end if high >= length else start + high

    def _find(self, segment: int) -> tuple[int, int]:
        """The span of the segment with this number, and which of its pieces it is."""
        block = int(np.searchsorted(self._firsts, segment, side="right")) - 1
        spans = self._s._spans[block * _BLOCK : (block + 1) * _BLOCK]
        ends = np.cumsum(self._pieces(spans[:, 1] - spans[:, 0])) + self._firsts[block]
        within = int(np.searchsorted(ends, segment, side="right"))
        before = int(ends[within - 1]) if within else int(self._firsts[block])
        return block * _BLOCK + within, segment - before


class _Buckets:
    """Documents of like length side by side, all rows beginning and ending together."""

    def __init__(self, streams: Streams) -> None:
        self._s = streams
        self._epoch = 0
        self._pool = 0
        self._group = 0
        self._chunk = 0
        self._begin_pool()

    def advance(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Start and end of each row's next targets, and whether the row begins a document."""
        ranges = self._groups[self._group]
        starts = np.minimum(ranges[:, 0] + self._chunk * self._s._length, ranges[:, 1])
        ends = np.minimum(starts + self._s._length, ranges[:, 1])
        fresh = np.full(self._s._batch, self._chunk == 0)
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
        if self._pool * self._pool_size >= len(self._s._spans):
            self._epoch, self._pool = self._epoch + 1, 0
        self._begin_pool()

    @property
    def _pool_size(self) -> int:
        return _POOL * self._s._batch

    def _begin_pool(self) -> None:
        """Sorts a shuffled pool of documents by length and deals it out in shuffled groups."""
        count = len(self._s._spans)
        first = self._pool * self._pool_size
        key = (self._s._seed, 3, self._epoch)
        chosen = (
            permuted(i, count, key) for i in range(first, min(count, first + self._pool_size))
        )
        ranges = np.array([self._s.target_range(span) for span in chosen], np.int64)
        ranges = ranges[np.argsort(ranges[:, 1] - ranges[:, 0], kind="stable")]
        short = -len(ranges) % self._s._batch
        ranges = np.concatenate([np.zeros((short, 2), np.int64), ranges])
        groups = ranges.reshape(-1, self._s._batch, 2)
        order = np.random.default_rng((self._s._seed, 4, self._epoch, self._pool))
        self._groups = groups[order.permutation(len(groups))]
        self._group, self._chunk = 0, 0


def _in_blocks(spans: np.ndarray, rows: int = 256 * _BLOCK) -> Iterator[np.ndarray]:
    """The spans a block at a time, for tables larger than memory."""
    for start in range(0, len(spans), rows):
        yield np.asarray(spans[start : start + rows])


def _total(spans: np.ndarray) -> int:
    return sum(int((block[:, 1] - block[:, 0]).sum()) for block in _in_blocks(spans))


def _sample(spans: np.ndarray) -> np.ndarray:
    """The numbers of some spans, evenly spread."""
    return np.linspace(0, len(spans) - 1, min(len(spans), 10_000)).astype(np.int64)


def _sample_lengths(spans: np.ndarray) -> np.ndarray:
    chosen = _sample(spans)
    lengths: np.ndarray = spans[chosen, 1] - spans[chosen, 0]
    return lengths
