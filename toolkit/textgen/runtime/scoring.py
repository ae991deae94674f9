"""Scoring: how well a model predicts texts, symbol by symbol."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BATCH = 256
CHUNK = 1024
"""Symbols of a text read in one call."""

ReadLoop = Callable[
    [np.ndarray, dict[str, np.ndarray], np.ndarray],
    tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]],
]
"""token (B,), states, forced (N, B) to the log probabilities (N, B) of the forced symbols and of
the least likely ones there, and the states after."""


@dataclass(frozen=True)
class Nats:
    """What each symbol of a text costs, (symbols,) float32."""

    chosen: np.ndarray
    highest: np.ndarray
    """What the least likely symbol would have cost in its place."""


@dataclass(frozen=True)
class Score:
    """The cross-entropy of one text under a model."""

    nats: float
    """In all, over ``symbols``."""
    symbols: int
    """Symbols predicted; the closing boundary is one where the model's texts end."""
    per_symbol: np.ndarray
    """The nats of each, (symbols,) float32."""
    unknown: tuple[str, ...] = ()
    """What the model has no symbol for; it was left out."""

    @property
    def bits(self) -> float:
        """In all."""
        return self.nats / math.log(2)

    @property
    def nats_per_symbol(self) -> float:
        return self.nats / self.symbols if self.symbols else 0.0

    @property
    def bits_per_symbol(self) -> float:
        return self.bits / self.symbols if self.symbols else 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, without those of each symbol."""
        return {
            "symbols": self.symbols,
            "nats": self.nats,
            "bits": self.bits,
            "nats_per_symbol": self.nats_per_symbol,
            "bits_per_symbol": self.bits_per_symbol,
            "unknown": list(self.unknown),
        }


def read_texts(
    read: ReadLoop,
    initial: Callable[[int], dict[str, np.ndarray]],
    boundary: int,
    texts: Sequence[np.ndarray],
) -> list[Nats]:
    """The nats of every symbol of every text, each read from the boundary.

    Texts of like length are read side by side; no row sees another.
    """
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    empty = np.zeros(0, np.float32)
    found = [Nats(empty, empty)] * len(texts)
    for first in range(0, len(order), BATCH):
        group = order[first : first + BATCH]
        longest = len(texts[group[-1]])
        forced = np.full((longest, len(group)), boundary, np.int64)
        for column, number in enumerate(group):
            forced[: len(texts[number]), column] = texts[number]
        token = np.full(len(group), boundary, np.int64)
        states = initial(len(group))
        parts = []
        for low in range(0, longest, CHUNK):
            part = forced[low : low + CHUNK]
            logprobs, lowest, states = read(token, states, part)
            parts.append((-logprobs, -lowest))
            token = part[-1]
        if parts:
            chosen, highest = (np.concatenate(values) for values in zip(*parts, strict=True))
            for column, number in enumerate(group):
                place = slice(len(texts[number])), column
                found[number] = Nats(chosen[place].copy(), highest[place].copy())
    return found
