"""Evaluation: how well a network predicts held-out text, by two protocols.

*Cold windows*: all consecutive windows of 256 symbols, each read from the initial state and the
boundary, as nanoGPT's are read from nothing. *Carried*: each document as one stream from its
beginning. Losses are means over the symbols predicted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from textgen.training.network import Network
from textgen.training.streams import IGNORED

WINDOW = 256
PERCENTILES = (50, 90, 99, 99.9)
_ROWS = 64
_SYMBOLS = 1 << 15
_LOGITS = 1 << 22
"""How much is computed at once: with large vocabularies logits are what fills the memory."""


@dataclass(frozen=True)
class Loss:
    """A mean cross-entropy, and over how many symbols."""

    nats: float
    symbols: int

    @property
    def bits(self) -> float:
        """The same in bits a symbol."""
        return self.nats / math.log(2)

    def record(self) -> dict[str, float]:
        """The loss as it is written into runs and model files."""
        return {"nats": self.nats, "bits": self.bits, "symbols": self.symbols}


class Evaluator:
    """Evaluates networks on some spans of packed ids, of which the first ``limit`` symbols count.

    A document's closing boundary is a symbol to predict like any other; a span that continues a
    document has no context for its first symbol, which is not counted.
    """

    def __init__(
        self, ids: np.ndarray, spans: np.ndarray, boundary: int, *, limit: int = 1 << 20
    ) -> None:
        self._ids = ids
        self._boundary = boundary
        self._ranges = list(self._target_ranges(spans, limit))

    @property
    def symbols(self) -> int:
        return sum(end - start for start, end in self._ranges)

    def cold(self, network: Network, *, limit: int | None = None) -> Loss:
        """The loss on cold windows; on some of them, about ``limit`` symbols, where given."""
        return self._loss(network, self._windows(limit))

    def carried(self, network: Network) -> Loss:
        """The loss of each document read from its beginning with its state carried on."""
        return self._loss(network, self._ranges)

    def windows(self, limit: int) -> list[np.ndarray]:
        """The ids of cold windows, about ``limit`` symbols of them, evenly spread."""
        return [np.asarray(self._ids[low:high], np.int64) for low, high in self._windows(limit)]

    def losses(self, network: Network) -> dict[str, dict[str, float]]:
        """The losses by both protocols, for the record."""
        return {"cold": self.cold(network).record(), "carried": self.carried(network).record()}

    def percentiles(self, network: Network) -> dict[str, float]:
        """Bits a symbol of the documents, each read from its beginning, by percentile."""
        ordered = sorted(self._ranges, key=lambda edges: edges[0] - edges[1])
        symbols = np.array([end - start for start, end in ordered])
        bits = self._nats(network, ordered) / symbols / math.log(2)
        return {f"p{share:g}": float(np.percentile(bits, share)) for share in PERCENTILES}

    def _windows(self, limit: int | None) -> list[tuple[int, int]]:
        windows = [
            (low, min(low + WINDOW, end))
            for start, end in self._ranges
            for low in range(start, end, WINDOW)
        ]
        if limit is not None and self.symbols > limit:
            count = max(1, len(windows) * limit // self.symbols)
            windows = [windows[i] for i in np.linspace(0, len(windows) - 1, count).astype(int)]
        return windows

    def _loss(self, network: Network, ranges: Sequence[tuple[int, int]]) -> Loss:
        """The loss on ranges of targets, each read from the initial state."""
        ordered = sorted(ranges, key=lambda edges: edges[0] - edges[1])
        counted = sum(end - start for start, end in ordered)
        return Loss(float(self._nats(network, ordered).sum()) / max(1, counted), counted)

    def _nats(self, network: Network, ordered: Sequence[tuple[int, int]]) -> np.ndarray:
        """The loss of each range, summed over its symbols; (n,) float64. Long ones come first."""
        parts = [np.zeros(0)]
        with torch.inference_mode(), _evaluating(network):
            for first in range(0, len(ordered), _ROWS):
                parts.append(self._nats_side_by_side(network, ordered[first : first + _ROWS]))
        return np.concatenate(parts)

    def _nats_side_by_side(self, network: Network, rows: Sequence[tuple[int, int]]) -> np.ndarray:
        """The summed loss of some ranges, a chunk of all of them at a time."""
        device = network.head.weight.device
        length = 1 + max(end - start for start, end in rows)
        chunk = max(16, min(_SYMBOLS, _LOGITS // network.vocabulary_size) // len(rows))
        state = network.initial_state(len(rows))
        total = np.zeros(len(rows))
        for at in range(0, length, chunk):
            inputs, targets = self._chunk(rows, at, min(at + chunk, length))
            logits, state = network.scan(torch.from_numpy(inputs).to(device), state)
            losses = cross_entropy(
                logits.flatten(0, 1).float(),
                torch.from_numpy(targets).to(device).flatten(),
                ignore_index=IGNORED,
                reduction="none",
            )
            total += losses.view(-1, len(rows)).double().sum(dim=0).cpu().numpy()
        return total

    def _chunk(
        self, rows: Sequence[tuple[int, int]], low: int, high: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets (T, B) of the places ``low`` to ``high`` of each row."""
        inputs = np.full((high - low, len(rows)), self._boundary, np.int64)
        targets = np.full((high - low, len(rows)), IGNORED, np.int64)
        for row, (start, end) in enumerate(rows):
            # the boundary comes first; where the text before is one already, it is that one
            first = start if self._begins(start) else start - 1
            begin, stop = max(start, first + low), min(end, first + high)
            if begin < stop:
                place = slice(begin - first - low, stop - first - low)
                inputs[place, row] = self._ids[begin - 1 : stop - 1]
                targets[place, row] = self._ids[begin:stop]
        return inputs, targets

    def _target_ranges(self, spans: np.ndarray, limit: int) -> Iterator[tuple[int, int]]:
        left = limit
        for start, end in spans:
            start, end = int(start), int(end)
            end += end < len(self._ids) and int(self._ids[end]) == self._boundary
            start += not self._begins(start)
            end = min(end, start + left)
            if end > start:
                yield start, end
                left -= end - start
            if left <= 0:
                return

    def _begins(self, start: int) -> bool:
        return int(self._ids[start - 1]) == self._boundary


class _evaluating:
    """Switches dropout off for a while."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def __enter__(self) -> None:
        self._was = self._network.training
        self._network.eval()

    def __exit__(self, *error: object) -> None:
        self._network.train(self._was)
