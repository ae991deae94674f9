"""Lines by how surprising they are: for logs, lists, and whatever has one record a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.runtime.model import Model

WINDOW = 16
"""Symbols of the window whose worst place is told."""

_NATS = float(np.log(2))


@dataclass(frozen=True)
class LineScore:
    """What one line costs under a model, in bits."""

    bits: float
    symbols: int
    """Unseen ones and the closing boundary, where there is one, included."""
    worst: float
    """Bits a symbol of the most surprising 16 symbols in a row (or of all, if there are fewer)."""
    at: int
    """Where that window begins: how many symbols stand before it in the line as it is rewritten."""
    unknown: tuple[str, ...]
    """What the model has never seen. Each occurrence costs what the least likely symbol would."""

    @property
    def bits_per_symbol(self) -> float:
        return self.bits / self.symbols if self.symbols else 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "symbols": self.symbols,
            "bits": round(self.bits, 4),
            "bits_per_symbol": round(self.bits_per_symbol, 4),
            "worst": {"at": self.at, "bits_per_symbol": round(self.worst, 4)},
            "unknown": list(self.unknown),
        }


def score_lines(model: Model, lines: Sequence[str]) -> list[LineScore]:
    """The score of each line, read from the boundary, all side by side."""
    encoded = [_encoded(model, model.encoder.rewrite(line)) for line in lines]
    boundary = model.vocabulary.boundary
    # read to the boundary also where no text ends: an unseen symbol may be the last
    nats = model.read_ids([np.append(ids, boundary) for ids, _, _ in encoded])
    return [
        _score(found.chosen if model.info.ends else found.chosen[:-1], found.highest, places, names)
        for found, (_, places, names) in zip(nats, encoded, strict=True)
    ]


def _encoded(model: Model, line: str) -> tuple[np.ndarray, list[int], tuple[str, ...]]:
    """The ids, before how many of them each unseen symbol stands, and which these are."""
    ids, unknown = model.encoder.symbols(line)
    if not unknown:
        return ids, [], ()
    names = sorted(unknown, key=len, reverse=True)
    parts, places, count = [], [], 0
    for piece in re.split(f"({'|'.join(map(re.escape, names))})", line):
        if piece in unknown:
            places.append(count)
        elif piece:
            parts.append(model.encoder.symbols(piece)[0])
            count += len(parts[-1])
    return np.concatenate([np.zeros(0, np.int64), *parts]), places, tuple(unknown)


def _score(
    chosen: np.ndarray, highest: np.ndarray, places: list[int], unknown: tuple[str, ...]
) -> LineScore:
    bits = np.insert(chosen.astype(np.float64), places, highest[places]) / _NATS
    if not len(bits):
        return LineScore(0.0, 0, 0.0, 0, unknown)
    width = min(WINDOW, len(bits))
    sums = np.cumsum(np.concatenate([[0.0], bits]))
    windows = (sums[width:] - sums[:-width]) / width
    at = int(windows.argmax())
    return LineScore(float(bits.sum()), len(bits), float(windows[at]), at, unknown)
