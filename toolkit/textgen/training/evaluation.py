"""Evaluation: how well a network predicts held-out text, by two protocols.

*Cold windows*: all consecutive windows of 256 symbols, each read from the initial state and the
boundary, as nanoGPT's are read from nothing. *Carried*: each document as one stream from its
beginning. Losses are means over the symbols predicted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from textgen.training.network import Network
from textgen.training.streams import IGNORED

WINDOW = 256
_ROWS = 64
_CHUNK = 4096


@dataclass(frozen=True)
class Loss:
    """A mean cross-entropy, and over how many symbols."""

    nats: float
    symbols: int

    @property
    def bits(self) -> float:
        """The same in bits a symbol."""
        return self.nats / math.log(2)


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
        """The loss on cold windows; on the first ``limit`` of them, where given."""
        windows = [
            (low, min(low + WINDOW, end))
            for start, end in self._ranges
            for low in range(start, end, WINDOW)
        ]
        if limit is not None and len(windows) > limit:
            windows = [windows[i] for i in np.linspace(0, len(windows) - 1, limit).astype(int)]
        windows.sort(key=lambda window: window[0] - window[1])
        total, counted = 0.0, 0
        for first in range(0, len(windows), _ROWS):
            nats, symbols = self._cold_batch(network, windows[first : first + _ROWS])
            total, counted = total + nats, counted + symbols
        return Loss(total / max(1, counted), counted)

    def carried(self, network: Network) -> Loss:
        """The loss of each document read from its beginning with its state carried on."""
        total, counted = 0.0, 0
        with torch.inference_mode(), _evaluating(network):
            for start, end in self._ranges:
                state = network.initial_state(1)
                sequence = np.concatenate([[self._boundary], self._ids[start - 1 : end]])
                if self._begins(start):
                    sequence = sequence[1:]
                skipped = len(sequence) - 1 - (end - start)
                for low in range(0, len(sequence) - 1, _CHUNK):
                    piece = self._tensor(network, sequence[low : low + _CHUNK + 1, None])
                    logits, state = network.scan(piece[:-1], state)
                    losses = cross_entropy(logits[:, 0].float(), piece[1:, 0], reduction="none")
                    total += float(losses[max(0, skipped - low) :].sum())
                counted += end - start
        return Loss(total / max(1, counted), counted)

    def _cold_batch(self, network: Network, windows: list[tuple[int, int]]) -> tuple[float, int]:
        length = max(high - low for low, high in windows)
        inputs = np.full((length + 1, len(windows)), self._boundary, np.int64)
        targets = np.full((length + 1, len(windows)), IGNORED, np.int64)
        for row, (low, high) in enumerate(windows):
            # the boundary comes first; where the text before is one already, it is that one
            at = 0 if self._begins(low) else 1
            inputs[at : at + high - low, row] = self._ids[low - 1 : high - 1]
            targets[at : at + high - low, row] = self._ids[low:high]
        with torch.inference_mode(), _evaluating(network):
            logits, _ = network.scan(
                self._tensor(network, inputs), network.initial_state(len(windows))
            )
            wanted = self._tensor(network, targets)
            loss = cross_entropy(
                logits.flatten(0, 1).float(),
                wanted.flatten(),
                ignore_index=IGNORED,
                reduction="sum",
            )
        return float(loss), int((targets != IGNORED).sum())

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

    def _tensor(self, network: Network, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.int64)).to(network.head.weight.device)


class _evaluating:
    """Switches dropout off for a while."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def __enter__(self) -> None:
        self._was = self._network.training
        self._network.eval()

    def __exit__(self, *error: object) -> None:
        self._network.train(self._was)
