"""Scoring: how well a model predicts texts, symbol by symbol.

B texts side by side, N symbols of each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from textgen.model_file import ModelInfo
from textgen.runtime import names

if TYPE_CHECKING:
    from textgen.runtime.sessions import PacedSession

BATCH = 256
CHUNK = 1024
"""Symbols of a text read in one call."""

_ENDED = 8
"""One text of so many has ended before the others are read on without it."""


@dataclass(frozen=True)
class Nats:
    """What each symbol of a text costs, (symbols,) float32."""

    chosen: np.ndarray
    highest: np.ndarray
    """What the least likely symbol would have cost in its place."""


@dataclass(frozen=True)
class Total:
    """The cross-entropy of one text under a model."""

    nats: float
    """In all, over ``symbols``."""
    symbols: int
    """Symbols predicted; the closing boundary is one where the model's texts end."""
    characters: int
    """What the symbols spell; a boundary is none."""
    unknown: tuple[str, ...]
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

    @property
    def bits_per_character(self) -> float:
        """By which models with other symbols compare."""
        return self.bits / self.characters if self.characters else 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, without those of each symbol."""
        return {
            "symbols": self.symbols,
            "nats": self.nats,
            "bits": self.bits,
            "nats_per_symbol": self.nats_per_symbol,
            "bits_per_symbol": self.bits_per_symbol,
            "characters": self.characters,
            "bits_per_character": self.bits_per_character,
            "unknown": list(self.unknown),
        }


@dataclass(frozen=True)
class Score(Total):
    """The same, with what each symbol costs."""

    per_symbol: np.ndarray
    """The nats of each, (symbols,) float32."""


@dataclass(frozen=True)
class Place:
    """Where some texts stand: the symbol (B,) that each reads next, and its states."""

    token: np.ndarray
    states: dict[str, np.ndarray]

    def first(self, count: int) -> Place:
        """The place of the first ``count`` of the texts."""
        return Place(self.token[:count], {name: s[:count] for name, s in self.states.items()})


class TextReader:
    """Reads ids with a model's reading loop."""

    def __init__(self, session: PacedSession, info: ModelInfo) -> None:
        self._session = session
        self._info = info
        self._boundary = info.vocabulary.boundary

    def begin(self, texts: int) -> Place:
        """Before the first symbol: the boundary is read next."""
        token = np.full(texts, self._boundary, np.int64)
        return Place(token, {state.name: state.array(texts) for state in self._info.states})

    def read(self, place: Place, forced: np.ndarray) -> tuple[Nats, Place]:
        """What ``forced`` (N, B) int64 costs from ``place`` on, (N, B) each, and the place then."""
        feed = {
            names.TOKEN: place.token,
            names.FORCED: np.ascontiguousarray(forced),
            **{names.state(name): value for name, value in place.states.items()},
        }
        after = [names.state_after(name) for name in place.states]
        wanted = [names.LOGPROBS, names.LOWEST, *after]
        logprobs, lowest, *states = self._session.run(wanted, feed, *forced.shape)
        following = Place(forced[-1], dict(zip(place.states, states, strict=True)))
        return Nats(-logprobs, -lowest), following

    def texts(self, texts: Sequence[np.ndarray]) -> list[Nats]:
        """The nats of every symbol of every text, each read from the boundary.

        Texts of like length are read side by side; no row sees another.
        """
        order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
        found: dict[int, Nats] = {}
        for first in range(0, len(order), BATCH):
            group = order[first : first + BATCH]
            nats = self._side_by_side([texts[number] for number in group])
            found.update(zip(group, nats, strict=True))
        return [found[number] for number in range(len(texts))]

    def _side_by_side(self, texts: Sequence[np.ndarray]) -> list[Nats]:
        """Of texts of which the longest come first. Those that have ended leave the batch."""
        lengths = np.array([len(text) for text in texts])
        empty = np.zeros(0, np.float32)
        parts = [[Nats(empty, empty)] for _ in texts]
        place, low = self.begin(len(texts)), 0
        while going := int((lengths > low).sum()):
            high = min(low + CHUNK, int(lengths[going - 1 - going // _ENDED]))
            forced = np.full((high - low, going), self._boundary, np.int64)
            for column, text in enumerate(texts[:going]):
                part = text[low:high]
                forced[: len(part), column] = part
            nats, place = self.read(place.first(going), forced)
            for column, length in enumerate(np.minimum(lengths[:going], high) - low):
                own = slice(length), column
                parts[column].append(Nats(nats.chosen[own], nats.highest[own]))
            low = high
        return [joined(found) for found in parts]


class CarriedReading:
    """One text that comes in parts, read from the boundary to its end in one pass."""

    def __init__(self, reader: TextReader) -> None:
        self._reader = reader
        self._place = reader.begin(1)

    def read(self, ids: np.ndarray) -> np.ndarray:
        """Takes the next part (symbols,); the nats of what could be read, (symbols,) float32."""
        parts = [np.zeros(0, np.float32)]
        for low in range(0, len(ids), CHUNK):
            nats, self._place = self._reader.read(self._place, ids[low : low + CHUNK, None])
            parts.append(nats.chosen[:, 0])
        return np.concatenate(parts)

    def end(self) -> np.ndarray:
        """The nats of what is left."""
        return np.zeros(0, np.float32)


class WindowReading:
    """The same in *cold windows*, as training measures its loss: ``size`` symbols each, read from
    the boundary and the symbol before the first of them. They are read side by side, however long
    the text is; but the beginning of each is read without what came before.
    """

    def __init__(self, reader: TextReader, size: int) -> None:
        self._reader = reader
        self._size = size
        self._before = self._held = np.zeros(0, np.int64)

    def read(self, ids: np.ndarray) -> np.ndarray:
        held = np.concatenate([self._held, ids])
        whole = len(held) - len(held) % self._size
        self._held = held[whole:]
        return self._nats(held[:whole])

    def end(self) -> np.ndarray:
        return self._nats(self._held)

    def _nats(self, ids: np.ndarray) -> np.ndarray:
        windows, known = [], []
        for low in range(0, len(ids), self._size):
            window = ids[low : low + self._size]
            windows.append(np.concatenate([self._before, window]))
            known.append(len(self._before))
            self._before = window[-1:]
        found = zip(self._reader.texts(windows), known, strict=True)
        return np.concatenate([np.zeros(0, np.float32), *(n.chosen[k:] for n, k in found)])


def joined(parts: Sequence[Nats]) -> Nats:
    """Of one text that was read in parts."""
    return Nats(
        np.concatenate([part.chosen for part in parts]),
        np.concatenate([part.highest for part in parts]),
    )
