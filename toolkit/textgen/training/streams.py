"""Streams: which text a step reads, for truncated backpropagation through time.

Each of B rows reads one document at a time, T symbols a step, and carries its state from step to
step. A row never holds two documents: what is left of a chunk after a document's end is padding.
Where a row begins a segment that does not begin its document, and at random resets, it starts from
the initial state with the boundary symbol as its first input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.training.orders import Buckets, Rows
from textgen.training.targets import Spans, Targets

_WHOLE = 0.95
"""With jitter, the share of steps whose length is about the usual one, not about half of it."""

_LOOK = 256
"""Steps looked ahead at to tell how many symbols a step shows."""

_ROWS_LOOKED_AT = 1 << 18
"""In all of these steps at most: fewer steps of very many rows tell as much."""


@dataclass(frozen=True)
class Batch:
    """What one step reads: of each row the half-open range of its targets, ``starts`` and ``ends``
    (B,) int64, and whether it is ``reset`` (B,) bool. ``feeding`` makes tensors of it."""

    starts: np.ndarray
    ends: np.ndarray
    reset: np.ndarray
    length: int
    """Of the longest row, those of other ranks included."""
    symbols: int
    """Targets, those of other ranks' rows included."""
    changes: int
    """Of them, those that are not the first of their row."""
    share: float = 1.0
    """The length of this step beside the usual one; the learning rate goes with it."""


class Streams:
    """An endless, restorable sequence of batches over some spans of packed ids.

    ``ids`` and ``spans`` (n, 2) may be memory-mapped; no table of all documents is ever made.
    ``within`` is how many symbols the spans have, where it is known. With ``rows`` the batches have
    these rows alone, of the ``batch_size`` that are moved on and counted.
    """

    def __init__(
        self,
        ids: np.ndarray,
        spans: Spans,
        boundary: int,
        *,
        batch_size: int,
        sequence_length: int,
        reset_probability: float,
        seed: int,
        jitter: float = 0.0,
        rows: slice = slice(None),
        within: int | None = None,
    ) -> None:
        self._targets = Targets(ids, spans, boundary, within)
        self._batch = batch_size
        self._length = sequence_length
        self._reset_probability = reset_probability
        self._seed = seed
        self._jitter = jitter
        self._rows = rows
        self.bucketed = self._targets.median_length() < 4 * sequence_length
        self.symbols_in_epoch = self._targets.symbols()
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
        advanced = self._length_of(self._step)
        starts, ends, fresh = self._order.advance(advanced)
        random = np.random.default_rng((self._seed, 1, self._step))
        reset = fresh | (random.random(self._batch) < self._reset_probability)
        self._step += 1
        lengths = ends - starts
        length = int(max(1, lengths.max()))
        counted, rows = int(lengths.sum()), int(np.count_nonzero(lengths))
        self.shown += counted
        self.padded += length * self._batch - counted
        return Batch(
            starts[self._rows],
            ends[self._rows],
            reset[self._rows],
            length,
            counted,
            counted - rows,
            advanced / self._length,
        )

    def look_ahead(self) -> tuple[float, float]:
        """The mean number of symbols that one of the first steps shows, and the share of padding
        beside them."""
        order, symbols, computed = self._first_order(), 0, 0
        steps = max(1, min(_LOOK, _ROWS_LOOKED_AT // self._batch))
        for step in range(steps):
            starts, ends, _ = order.advance(self._length_of(step))
            symbols += int((ends - starts).sum())
            computed += int((ends - starts).max()) * self._batch
        return symbols / steps, 1 - symbols / max(1, computed)

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

    def _length_of(self, step: int) -> int:
        """How far the rows of this step advance (Merity et al., arXiv 1708.02182).

        Documents side by side in buckets have lengths of their own.
        """
        if not self._jitter or self.bucketed:
            return self._length
        random = np.random.default_rng((self._seed, 6, step))
        usual = self._length / (1 if random.random() < _WHOLE else 2)
        drawn = round(random.normal(usual, self._jitter * self._length))
        return int(min(max(drawn, self._length // 4, 1), 2 * self._length))

    def _first_order(self) -> Buckets | Rows:
        if self.bucketed:
            return Buckets(self._targets, self._batch, self._seed)
        return Rows(self._targets, self._batch, self._length, self._seed)
