"""Evaluation: how well a network predicts held-out text, by two protocols.

*Cold windows*: all consecutive windows of 256 symbols, each read from the initial state and the
boundary, as nanoGPT's are read from nothing. *Carried*: each document as one stream from its
beginning. Losses are means over the symbols predicted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from textgen.contracts.cell import State
from textgen.corpus.ranges import Range, context, target_ranges, windows
from textgen.losses import Loss
from textgen.training.feeding import IGNORED
from textgen.training.network import Network

PERCENTILES = (50, 90, 99, 99.9)
_ROWS = 64
_WARM_UP = 768
"""Places at a piece's end from which the next one's state is told."""
_TRIES = 3
"""Readings of long documents in pieces, before they are read in one."""
_ROUNDING = 1e-5
"""Of a state's numbers: what comes of it in a loss has seven digits."""
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

    def seconds(self, network: Network, *, limit: int) -> float:
        """How long ``cold`` takes with this ``limit``, told by half of each row of its first
        batch."""
        found = _longest_first(windows(self._ranges, limit=limit))
        part = [(start, end - (end - start) // 2) for start, end in found[:_ROWS]]
        self._loss(network, part[:1])  # the first one sets kernels up
        began = time.perf_counter()
        counted = self._loss(network, part).symbols
        symbols = sum(end - start for start, end in found)
        return (time.perf_counter() - began) * symbols / counted

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
        ordered = _longest_first(self._ranges)
        symbols = np.array([end - start for start, end in ordered])
        bits = self._nats(network, ordered) / symbols / math.log(2)
        return {f"p{share:g}": float(np.percentile(bits, share)) for share in PERCENTILES}

    def _loss(self, network: Network, ranges: Sequence[tuple[int, int]]) -> Loss:
        """The loss on ranges of targets, each read from the initial state."""
        ordered = _longest_first(ranges)
        counted = sum(end - start for start, end in ordered)
        return Loss(float(self._nats(network, ordered).sum()) / max(1, counted), counted)

    def _nats(self, network: Network, ordered: Sequence[Range]) -> np.ndarray:
        """The loss of each range, summed over its symbols; (n,) float64. Long ones come first."""
        parts = [np.zeros(0)]
        with torch.inference_mode(), _evaluating(network):
            for at in range(0, len(ordered), _ROWS):
                rows = [self._row(*edges) for edges in ordered[at : at + _ROWS]]
                found = self._nats_in_pieces(network, rows)
                parts.append(self._read(network, rows)[0] if found is None else found)
        return np.concatenate(parts)

    def _row(self, start: int, end: int) -> _Row:
        return _Row(context(self._ids, start, self._boundary), start, end)

    def _nats_in_pieces(self, network: Network, rows: Sequence[_Row]) -> np.ndarray | None:
        """What ``_read`` tells of a few long rows, whose pieces are read side by side.

        Each piece begins with a state that the end of the one before it gave. That is right where
        the same end comes out when that piece is read itself; else it is read again, from there.
        Of a network that never forgets nothing comes of that, and None is returned.
        """
        length = max(_WARM_UP, -(-sum(row.end - row.first + 1 for row in rows) // _ROWS))
        pieces, owners, follows = _pieces(rows, length)
        if len(pieces) < 4 * len(rows):
            return None
        first = network.initial_state(len(pieces))
        after = torch.from_numpy(follows).to(first[0].device)
        _, ends = self._read(network, pieces, first, length - _WARM_UP, length)
        for _ in range(_TRIES):
            before = _after(ends, first, after)
            nats, ends = self._read(network, pieces, before, 0, length)
            if all(map(_same, _after(ends, first, after), before)):
                return np.bincount(owners, nats)
        return None

    def _read(
        self,
        network: Network,
        rows: Sequence[_Row],
        state: State | None = None,
        low: int = 0,
        high: int | None = None,
    ) -> tuple[np.ndarray, State]:
        """The summed loss of each row, a chunk of all of them at a time, and the last state; from
        the place ``low`` to ``high`` of the rows, where given, and from ``state``."""
        device = network.head.weight.device
        high = 1 + max(row.end - row.start for row in rows) if high is None else high
        chunk = max(16, min(_SYMBOLS, _LOGITS // network.vocabulary_size) // len(rows))
        state = network.initial_state(len(rows)) if state is None else state
        total = np.zeros(len(rows))
        for at in range(low, high, chunk):
            inputs, targets = self._chunk(rows, at, min(at + chunk, high))
            logits, state = network.scan(torch.from_numpy(inputs).to(device), state)
            losses = cross_entropy(
                logits.flatten(0, 1).float(),
                torch.from_numpy(targets).to(device).flatten(),
                ignore_index=IGNORED,
                reduction="none",
            )
            # added up on the CPU: MPS has no float64
            total += losses.view(-1, len(rows)).cpu().double().sum(dim=0).numpy()
        return total, state

    def _chunk(self, rows: Sequence[_Row], low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets (T, B) of the places ``low`` to ``high`` of each row."""
        inputs = np.full((high - low, len(rows)), self._boundary, np.int64)
        targets = np.full((high - low, len(rows)), IGNORED, np.int64)
        for row, (first, start, end) in enumerate(rows):
            begin, stop = max(start, first + low), min(end, first + high)
            if begin < stop:
                place = slice(begin - first - low, stop - first - low)
                inputs[place, row] = self._ids[begin - 1 : stop - 1]
                targets[place, row] = self._ids[begin:stop]
        return inputs, targets


class _Row(NamedTuple):
    """Symbols ``start`` to ``end`` are predicted; reading begins at the place ``first``, with the
    symbol before it, or with the boundary where that is before ``start``."""

    first: int
    start: int
    end: int


def _longest_first(ranges: Iterable[Range]) -> list[Range]:
    return sorted(ranges, key=lambda edges: edges[0] - edges[1])


def _pieces(rows: Sequence[_Row], length: int) -> tuple[list[_Row], np.ndarray, np.ndarray]:
    """The rows cut into pieces of ``length`` places; of each piece the row's number, and whether it
    goes on where the piece before it ends."""
    found = [
        (_Row(first, max(start, first), min(end, first + length)), number, first > row.first)
        for number, row in enumerate(rows)
        for start, end in [(row.start, row.end)]
        for first in range(row.first, row.end, length)
    ]
    pieces, owners, follows = zip(*found, strict=True)
    return list(pieces), np.array(owners), np.array(follows)


def _after(ends: State, first: State, after: Tensor) -> State:
    """The states that pieces begin with: their first, or ``after`` another piece its end."""
    return tuple(
        torch.where(after.view(-1, *[1] * (end.dim() - 1)), end.roll(1, 0), start)
        for end, start in zip(ends, first, strict=True)
    )


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two states are the same but for rounding."""
    return torch.allclose(one, other, rtol=_ROUNDING, atol=_ROUNDING)


class _evaluating:
    """Switches dropout off for a while."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def __enter__(self) -> None:
        self._was = self._network.training
        self._network.eval()

    def __exit__(self, *error: object) -> None:
        self._network.train(self._was)
