"""The writer: streams side by side, a row each. One that ends leaves, and another may come in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Vocabulary
from textgen.runtime.chain import Chain, Options
from textgen.runtime.encoding import Decoder
from textgen.runtime.engine import Cursor, Engine
from textgen.runtime.names import FREE
from textgen.runtime.noise import noise

ROWS = 256
"""Streams that are written at once, at most; the next begin when others have ended."""

_FIRST_CHUNK, _BRIEF_CHUNK, _LARGEST_CHUNK = 16, 32, 256
_PROMPT_CHUNK = 4096


@dataclass(frozen=True)
class Chunk:
    """A piece of one stream's text, as it comes."""

    stream: int
    text: str
    ids: tuple[int, ...]
    """The symbols read, up to the one that completes a stop string; the text may come later."""
    ended: str | None = None
    """Why the stream ends with this chunk: ``length``, ``boundary``, ``stop`` or ``refused``."""
    refused: tuple[str, ...] = ()
    """Why each try before this one was refused, where texts are to be as wanted."""


@dataclass(frozen=True)
class Limits:
    """When a text ends: after ``length`` symbols, at the boundary, or before a ``stop`` string."""

    length: int
    stop: tuple[str, ...] = ()
    boundary: bool = False

    def __post_init__(self) -> None:
        if self.length < 0:
            raise UserError(f"The length cannot be {self.length}.", "It is 0 or more.")
        if any(not text for text in self.stop):
            raise UserError("A stop string is empty.", "Leave it out, or write what to stop at.")


@dataclass
class Stream:
    """One text while it is written: when it ends, and where its noise comes from."""

    sample: int
    """Its number among the texts that are asked for."""
    limits: Limits
    decoder: Decoder
    seed: int
    number: int
    """Which stream of the seed it is."""
    attempt: int = 0
    """Which try of that stream."""
    position: int = 0
    """Symbols drawn before it: they have used up their noise."""
    goes_on: bool = False
    """Whether more may be written after ``length``: half a character then stays held back."""
    options: Options | None = None
    """The samplers' options, (1, 1) each, where they are its own."""
    held: str = ""
    """Text that may be the beginning of a stop string."""
    drawn: int = 0
    """Symbols drawn by now."""


@dataclass(frozen=True)
class Rest:
    """Where a stream stands when it has ended: at ``cursor``, with ``ids`` still to be read."""

    cursor: Cursor
    ids: np.ndarray


class Writer:
    """Writes the streams that have begun, all of them in one batch.

    ``briefly``: where texts are short, a row soon writes what is thrown away, so chunks stay small.
    """

    def __init__(
        self, engine: Engine, chain: Chain, vocabulary: Vocabulary, *, briefly: bool = False
    ) -> None:
        self._engine = engine
        self._chain = chain
        self.vocabulary = vocabulary
        self._briefly = briefly
        self._size = _FIRST_CHUNK
        self._cursor: Cursor | None = None
        self._options: Options | None = None
        self.streams: list[Stream] = []
        """Those that are being written, in the order of their rows."""

    def begin(self, streams: Sequence[Stream], cursor: Cursor) -> None:
        """Takes in streams that go on from the rows of ``cursor``."""
        if not streams:
            return
        self._cursor = self._cursor.beside(cursor) if self._cursor else cursor
        self.streams = [*self.streams, *streams]
        self._options = _options_of(self.streams)

    @property
    def cursor(self) -> Cursor:
        """Where the streams stand."""
        assert self._cursor is not None
        return self._cursor

    def turn(
        self, enough: Callable[[], bool] | None = None
    ) -> Iterator[tuple[Stream, Chunk, Rest | None]]:
        """The next piece of every stream; where one ends, also where it then stands.

        It is the last piece of all where ``enough``, asked when it has been written, says so.
        """
        streams, before = self.streams, self.cursor
        turns = min(self._size, max(s.limits.length - s.drawn for s in streams))
        self._size = min(2 * self._size, _BRIEF_CHUNK if self._briefly else _LARGEST_CHUNK)
        ids, after = np.zeros((0, len(streams)), np.int64), before
        if turns:
            forced = np.full((turns, len(streams)), FREE, np.int64)
            ids, after = self._engine.write(
                before, self._chain, forced, _noise(streams, turns), self._options
            )
        last = enough is not None and enough()
        found, going = [], []
        for column, stream in enumerate(streams):
            chunk = _advance(stream, ids[:, column], self.vocabulary, last=last)
            rest = None
            if chunk.ended:
                row, read = np.array([column]), np.array(chunk.ids, np.int64)
                whole = len(read) == turns
                rest = Rest(after.rows(row), read[:0]) if whole else Rest(before.rows(row), read)
            else:
                going.append(column)
            found.append((stream, chunk, rest))
        self._cursor = after
        if len(going) < len(streams):
            self.streams = [streams[column] for column in going]
            self._cursor = after.rows(np.array(going, np.int64)) if going else None
            self._options = _options_of(self.streams)
        return iter(found)


def read_prompt(
    engine: Engine,
    chain: Chain,
    cursor: Cursor,
    ids: np.ndarray,
    options: Options | None = None,
) -> Cursor:
    """Where the streams stand once each has read ``ids`` (T,)."""
    streams = len(cursor.token)
    for first in range(0, len(ids), _PROMPT_CHUNK):
        forced = np.repeat(ids[first : first + _PROMPT_CHUNK, None], streams, axis=1)
        silence = np.zeros(forced.shape, np.float32)
        _, cursor = engine.write(cursor, chain, forced, silence, options)
    return cursor


def _noise(streams: Sequence[Stream], turns: int) -> np.ndarray:
    """What each stream draws its next symbols with, (N, B)."""
    places = np.array([s.position + s.drawn for s in streams])
    return noise(
        np.array([s.seed for s in streams], np.uint64),
        np.array([s.number for s in streams]),
        places[None, :] + np.arange(turns)[:, None],
        np.array([s.attempt for s in streams]),
    )


def _options_of(streams: Iterable[Stream]) -> Options | None:
    """The options of all rows; None where no stream has its own."""
    own = [stream.options for stream in streams if stream.options is not None]
    if not own:
        return None
    return [
        {name: np.concatenate([options[link][name] for options in own]) for name in own[0][link]}
        for link in range(len(own[0]))
    ]


def _advance(stream: Stream, ids: np.ndarray, vocabulary: Vocabulary, *, last: bool) -> Chunk:
    """The stream's next text, cut where it ends; what may begin a stop string is held back."""
    limits, ended = stream.limits, None
    ids = ids[: limits.length - stream.drawn]
    stream.drawn += len(ids)
    if limits.boundary and (at := np.flatnonzero(ids == vocabulary.boundary)).size:
        ids, ended = ids[: at[0]], "boundary"
    elif stream.drawn >= limits.length or last:
        ended = "length"
    text, read = _read_until_stop(stream, ids)
    if read is not None:
        ids, ended = ids[:read], "stop"
    elif ended == "boundary" or (ended and not stream.goes_on):
        text += stream.decoder.end()
    stream.held = ""
    if not ended:
        keep = max((_overlap(text, stop) for stop in limits.stop), default=0)
        stream.held = text[len(text) - keep :]
        text = text[: len(text) - keep]
    return Chunk(stream.sample, text, tuple(ids.tolist()), ended)


def _read_until_stop(stream: Stream, ids: np.ndarray) -> tuple[str, int | None]:
    """The text of ``ids`` before the first stop string that is complete, and how many of them
    complete it; None where none does.

    Symbol by symbol, so that where a text ends does not depend on how it comes in chunks.
    """
    stops = stream.limits.stop
    if not stops:
        return stream.held + stream.decoder.feed(ids), None
    text = stream.held
    for read in range(1, len(ids) + 1):
        before = len(text)
        text += stream.decoder.feed(ids[read - 1 : read])
        places = (text.find(stop, max(0, before - len(stop) + 1)) for stop in stops)
        if found := [place for place in places if place >= 0]:
            return text[: min(found)], read
    return text, None


def _overlap(text: str, stop: str) -> int:
    """How much of the end of ``text`` may be the beginning of ``stop``."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
