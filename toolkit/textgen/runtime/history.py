"""What a session has read and written: its symbols, how each came about, and states along the way.

A *place* is a number of symbols from the beginning: the one before which a symbol stands. The
history knows symbols by their ids alone, and states as vectors, so that it is listed, cut and
copied without the model.
"""

from __future__ import annotations

import itertools
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Vocabulary
from textgen.runtime.chain import SamplerChoice
from textgen.runtime.encoding import Decoder

FIRST_SPACING = 256
"""Symbols between two kept states at first."""

KEPT_BYTES = 1 << 20
"""What kept states may take: above it the spacing doubles, and every other one goes."""


@dataclass(frozen=True)
class Settings:
    """What symbols are drawn with; the options of ``Model.session``."""

    seed: int
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    samplers: tuple[SamplerChoice, ...] = ()

    @property
    def sampling(self) -> dict[str, Any]:
        """All but the seed, as ``Model.chain`` takes it."""
        return {name: value for name, value in vars(self).items() if name != "seed"}

    def to_json(self) -> dict[str, Any]:
        """As JSON values. Raises UserError where a sampler is an object, which has no name."""
        named = []
        for choice in self.samplers:
            if not isinstance(choice, str | tuple):
                raise UserError(
                    f"A session with the object {type(choice).__name__} in it cannot be saved.",
                    "Give the sampler by its name, as a plugin has one.",
                )
            name, options = (choice, {}) if isinstance(choice, str) else choice
            named.append([name, dict(options)])
        return {**vars(self), "samplers": named}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Settings:
        """What ``to_json`` wrote."""
        return cls(**{**data, "samplers": tuple((name, given) for name, given in data["samplers"])})


@dataclass(frozen=True)
class Stretch:
    """Neighbouring symbols that came about in the same way."""

    first: int
    last: int
    """The place after the last of them."""
    fed: bool
    """Whether they were given, not drawn."""
    settings: Settings


@dataclass
class History:
    """The symbols of one stream. ``boundary`` is the one that, drawn, ends a text and begins the
    next; None where text does not end."""

    settings: list[tuple[int, Settings]]
    """From which place on each was in force. The first is at 0."""
    boundary: int | None
    ids: array[int] = field(default_factory=lambda: array("I"))
    fed: list[tuple[int, int]] = field(default_factory=list)
    """The stretches that were given, from a place to a place."""
    begins: list[int] = field(default_factory=lambda: [0])
    """Where texts begin: 0, and after each boundary that was drawn."""
    kept: list[tuple[int, np.ndarray]] = field(default_factory=list)
    """States along the way, float32 vectors, as they were before a change at their place."""
    spacing: int = FIRST_SPACING

    def __len__(self) -> int:
        return len(self.ids)

    def numbers(self, first: int = 0, last: int | None = None) -> np.ndarray:
        """The ids from one place to another, int64."""
        return np.array(self.ids[first:last], np.int64)

    def drawn(self) -> int:
        """How many symbols were drawn; what was fed took no noise."""
        return self.drawn_before(len(self))

    def drawn_before(self, place: int) -> int:
        return place - sum(max(0, min(last, place) - first) for first, last in self.fed)

    def settings_at(self, place: int) -> Settings:
        """What was in force for the symbol after ``place``."""
        return self.settings[bisect_right(self.settings, place, key=lambda entry: entry[0]) - 1][1]

    def begin_of(self, place: int) -> int:
        """Where the text begins in which ``place`` is."""
        return self.begins[bisect_right(self.begins, place) - 1]

    def is_fed(self, place: int) -> bool:
        """Whether the symbol after ``place`` was given, not drawn."""
        number = bisect_right(self.fed, place, key=lambda given: given[0]) - 1
        return number >= 0 and place < self.fed[number][1]

    def find_begins(self) -> None:
        """Finds where texts begin from what was drawn."""
        if self.boundary is not None:
            ends = np.flatnonzero(self.numbers() == self.boundary).tolist()
            self.begins = [0, *(place + 1 for place in ends if not self.is_fed(place))]

    def change(self, settings: Settings) -> None:
        """From here on these settings are in force."""
        if self.settings[-1][0] == len(self):
            self.settings.pop()
        if not self.settings or self.settings[-1][1] != settings:
            self.settings.append((len(self), settings))

    def feed(self, ids: np.ndarray) -> None:
        """Adds symbols that were given."""
        first, last = len(self), len(self) + len(ids)
        self.ids.extend(ids.tolist())
        if self.fed and self.fed[-1][1] == first:
            first, _ = self.fed.pop()
        self.fed.append((first, last))

    def draw(self, ids: Sequence[int]) -> None:
        """Adds symbols that were drawn."""
        first = len(self)
        self.ids.extend(ids)
        self.begins += [first + n + 1 for n, drawn in enumerate(ids) if drawn == self.boundary]

    def keep(self, state: np.ndarray) -> None:
        """Keeps the state of this place where it is the first after a multiple of the spacing,
        counted from the beginning of its text."""
        if self._is_due(len(self)):
            self.kept.append((len(self), state))
        while sum(state.nbytes for _, state in self.kept) > KEPT_BYTES:
            self.spacing *= 2
            found, self.kept = self.kept, []
            for place, state in found:
                if self._is_due(place):
                    self.kept.append((place, state))

    def _is_due(self, place: int) -> bool:
        begin = self.begin_of(place)
        previous = max(begin, self.kept[-1][0]) if self.kept else begin
        return (place - begin) // self.spacing > (previous - begin) // self.spacing

    def back(self, symbols: int) -> int:
        """The place so many symbols before the end. Raises UserError where there are fewer."""
        if not 0 <= symbols <= len(self):
            raise UserError(
                f"{symbols:,} symbols cannot be taken back; there are {len(self):,}.",
                "Take fewer back.",
            )
        return len(self) - symbols

    def cut(self, place: int) -> None:
        """Forgets all after ``place``; a change of settings right there stays, so that the same
        symbols would be drawn again. Raises UserError where the text is not that long."""
        if not 0 <= place <= len(self):
            raise UserError(
                f"The text cannot be cut at {place:,}; it has {len(self):,} symbols.",
                f"It is from 0 to {len(self):,}.",
            )
        del self.ids[place:]
        self.fed = [(first, min(last, place)) for first, last in self.fed if first < place]
        self.begins = self.begins[: bisect_right(self.begins, place)]
        self.settings = [(at, settings) for at, settings in self.settings if at <= place]
        self.kept = [(at, state) for at, state in self.kept if at <= place]

    def copy(self) -> History:
        """A second history that goes on by itself."""
        return History(
            list(self.settings),
            self.boundary,
            self.ids[:],
            list(self.fed),
            list(self.begins),
            list(self.kept),
            self.spacing,
        )

    def stretches(self, first: int, last: int) -> Iterator[Stretch]:
        """What stands between two places, parted where texts begin, and where it changes how
        symbols came about."""
        changes = (at for at, _ in self.settings)
        places = {first, last, *changes, *self.begins, *itertools.chain.from_iterable(self.fed)}
        cuts = sorted(place for place in places if first <= place <= last)
        for start, end in itertools.pairwise(cuts):
            yield Stretch(start, end, self.is_fed(start), self.settings_at(start))

    def text(self, vocabulary: Vocabulary) -> str:
        """All of it as text. A text that has ended is followed by a line end; half a character that
        is not whole yet, or was cut off by what was fed, is left out."""
        decoder, parts = Decoder(vocabulary), []
        for stretch in self.stretches(0, len(self)):
            if stretch.fed:
                decoder.end()
            parts.append(decoder.feed(self.numbers(stretch.first, stretch.last)))
            if stretch.fed:
                parts.append(decoder.end())
            elif stretch.last in self.begins:
                parts.append(decoder.end() + "\n")
        return "".join(parts)
