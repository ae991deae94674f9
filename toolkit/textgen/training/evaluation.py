"""Evaluation: how well a network predicts held-out text, by two protocols.

*Cold windows*: all consecutive windows of 256 symbols, each read from the initial state and the
boundary, as nanoGPT's are read from nothing. *Carried*: each document as one stream from its
beginning. Losses are means over the symbols predicted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from textgen.corpus.ranges import context, target_ranges, windows
from textgen.losses import Loss
from textgen.training.feeding import IGNORED
from textgen.training.network import Network

PERCENTILES = (50, 90, 99, 99.9)
_ROWS = 64
_SYMBOLS = 1 << 15
_LOGITS = 1 << 22
"""How much is computed at once: with large vocabularies logits are what fills the memory."""


class Evaluator:
    """Evaluates networks on some spans of packed ids, of which the first ``limit`` symbols count.

    What of them is predicted ``corpus.ranges`` says.
    """

    def __init__(
        self, ids: np.ndarray, spans: np.ndarray, boundary: int, *, limit: int = 1 << 20
    ) -> None:
        self._ids = ids
        self._boundary = boundary
        self._ranges = list(target_ranges(ids, spans, boundary, limit=limit))

    @property
    def symbols(self) -> int:
        return sum(end - start for start, end in self._ranges)

    def cold(self, network: Network, *, limit: int | None = None) -> Loss:
        """The loss on cold windows; on some of them, about ``limit`` symbols, where given."""
        return self._loss(network, windows(self._ranges, limit=limit))

    def carried(self, network: Network) -> Loss:
        """The loss of each document read from its beginning with its state carried on."""
        return self._loss(network, self._ranges)

    def windows(self, limit: int) -> list[np.ndarray]:
        """The ids of cold windows, about ``limit`` symbols of them, evenly spread."""
        return [
            np.asarray(self._ids[low:high], np.int64)
            for low, high in windows(self._ranges, limit=limit)
        ]

    def losses(self, network: Network) -> dict[str, dict[str, float]]:
        """The losses by both protocols, for the record."""
        return {"cold": self.cold(network).record(), "carried": self.carried(network).record()}

    def percentiles(self, network: Network) -> dict[str, float]:
        """Bits a symbol of the documents, each read from its beginning, by percentile."""
        ordered = sorted(self._ranges, key=lambda edges: edges[0] - edges[1])
        symbols = np.array([end - start for start, end in ordered])
        bits = self._nats(network, ordered) / symbols / math.log(2)
        return {f"p{share:g}": float(np.percentile(bits, share)) for share in PERCENTILES}

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
            first = context(self._ids, start, self._boundary)
            begin, stop = max(start, first + low), min(end, first + high)
            if begin < stop:
                place = slice(begin - first - low, stop - first - low)
                inputs[place, row] = self._ids[begin - 1 : stop - 1]
                targets[place, row] = self._ids[begin:stop]
        return inputs, targets


class _evaluating:
    """Switches dropout off for a while."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def __enter__(self) -> None:
        self._was = self._network.training
        self._network.eval()

    def __exit__(self, *error: object) -> None:
        self._network.train(self._was)
