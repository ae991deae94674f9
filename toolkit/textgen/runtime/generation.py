"""Generation: streams of text from an engine, in chunks that come early."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Vocabulary
from textgen.runtime.chain import Chain
from textgen.runtime.encoding import Decoder
from textgen.runtime.engine import Cursor, Engine
from textgen.runtime.names import FREE
from textgen.runtime.noise import SEEDS, noise

_FIRST_CHUNK, _LARGEST_CHUNK = 16, 256
_PROMPT_CHUNK = 4096


@dataclass(frozen=True)
class Chunk:
    """A piece of one stream's text, as it comes."""

    stream: int
    text: str
    ids: tuple[int, ...]
    """The symbols read, up to the one that completes a stop string; the text may come later."""
    ended: str | None = None
    """Why the stream ends with this chunk: ``length``, ``boundary`` or ``stop``."""


@dataclass(frozen=True)
class Generation:
    """What was written."""

    prompt: str
    texts: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    ended: tuple[str, ...]
    seed: int
    symbols: int
    seconds: float
    unknown: tuple[str, ...] = ()
    """What the prompt held that the model has no symbol for; it was left out."""

    @property
    def text(self) -> str:
        """The first text."""
        return self.texts[0]

    @property
    def symbols_per_second(self) -> float:
        return self.symbols / max(self.seconds, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "prompt": self.prompt,
            "texts": list(self.texts),
            "ids": [list(numbers) for numbers in self.ids],
            "ended": list(self.ended),
            "seed": self.seed,
            "symbols": self.symbols,
            "seconds": self.seconds,
            "symbols_per_second": self.symbols_per_second,
            "unknown": list(self.unknown),
        }


@dataclass(frozen=True)
class Rest:
    """Where a stream stands when it has ended: at ``cursor``, with ``ids`` still to be read."""

    cursor: Cursor
    ids: np.ndarray


@dataclass
class _Stream:
    """What is known of one stream while it is written."""

    number: int
    decoder: Decoder
    goes_on: bool
    """Whether more may be written after ``length``: half a character then stays held back."""
    held: str = ""


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


def check_seed(seed: int) -> int:
    """The seed, if it can be one. Raises UserError."""
    if not isinstance(seed, int | np.integer) or not 0 <= seed < SEEDS:
        raise UserError(f"The seed cannot be {seed}.", f"It is from 0 to {SEEDS - 1}.")
    return int(seed)


def read_prompt(engine: Engine, chain: Chain, cursor: Cursor, ids: np.ndarray) -> Cursor:
    """Where the streams stand once each has read ``ids`` (T,)."""
    streams = len(cursor.token)
    for first in range(0, len(ids), _PROMPT_CHUNK):
        forced = np.repeat(ids[first : first + _PROMPT_CHUNK, None], streams, axis=1)
        _, cursor = engine.write(cursor, chain, forced, np.zeros(forced.shape, np.float32))
    return cursor


def write(
    engine: Engine,
    chain: Chain,
    cursor: Cursor,
    vocabulary: Vocabulary,
    limits: Limits,
    *,
    seed: int,
    positions: Sequence[int],
    decoders: Sequence[Decoder] | None = None,
) -> Generator[Chunk, None, list[Rest]]:
    """The texts that go on from ``cursor``, one stream a row, as they come.

    ``positions`` are how many symbols each stream has drawn before; they place its noise. A stream
    that has ended leaves the batch. ``decoders`` are given where the texts are to be gone on with:
    they keep half a character until then. Returns where each stream stands at its end.
    """
    rows = range(len(cursor.token))
    goes_on = decoders is not None
    given = decoders or [Decoder(vocabulary) for _ in rows]
    streams = [_Stream(number, given[number], goes_on) for number in rows]
    rests = [Rest(cursor.rows(np.array([n])), np.zeros(0, np.int64)) for n in rows]
    done, size = 0, _FIRST_CHUNK
    while streams and done < limits.length:
        turns = min(size, limits.length - done)
        numbers = np.array([stream.number for stream in streams])
        places = np.array([positions[n] for n in numbers])[None, :] + np.arange(turns)[:, None]
        random = noise(seed, numbers, places + done)
        forced = np.full((turns, len(streams)), FREE, np.int64)
        before = cursor
        ids, cursor = engine.write(before, chain, forced, random)
        done += turns
        going = []
        for column, stream in enumerate(streams):
            chunk = _advance(stream, ids[:, column], limits, vocabulary, done)
            if chunk.text or chunk.ended or chunk.ids:
                yield chunk
            if not chunk.ended:
                going.append(column)
                continue
            row, read = np.array([column]), np.array(chunk.ids, np.int64)
            whole = len(read) == turns
            rests[stream.number] = (
                Rest(cursor.rows(row), read[:0]) if whole else Rest(before.rows(row), read)
            )
        if len(going) < len(streams):
            streams = [streams[column] for column in going]
            cursor = cursor.rows(np.array(going, np.int64))
        size = min(2 * size, _LARGEST_CHUNK)
    if limits.length == 0:
        yield from (Chunk(stream.number, "", (), "length") for stream in streams)
    return rests


def _advance(
    stream: _Stream, ids: np.ndarray, limits: Limits, vocabulary: Vocabulary, done: int
) -> Chunk:
    """The stream's next text, cut where it ends; what may begin a stop string is held back."""
    ended = None
    if limits.boundary and (at := np.flatnonzero(ids == vocabulary.boundary)).size:
        ids, ended = ids[: at[0]], "boundary"
    elif done >= limits.length:
        ended = "length"
    text, read = _read_until_stop(stream, ids, limits.stop)
    if read is not None:
        ids, ended = ids[:read], "stop"
    elif ended == "boundary" or (ended and not stream.goes_on):
        text += stream.decoder.end()
    stream.held = ""
    if not ended:
        keep = max((_overlap(text, stop) for stop in limits.stop), default=0)
        stream.held = text[len(text) - keep :]
        text = text[: len(text) - keep]
    return Chunk(stream.number, text, tuple(ids.tolist()), ended)


def _read_until_stop(
    stream: _Stream, ids: np.ndarray, stops: Sequence[str]
) -> tuple[str, int | None]:
    """The text of ``ids`` before the first stop string that is complete, and how many of them
    complete it; None where none does.

    Symbol by symbol, so that where a text ends does not depend on how it comes in chunks.
    """
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


@dataclass
class Collector:
    """Gathers chunks into a Generation."""

    streams: int
    seed: int
    prompt: str
    unknown: tuple[str, ...]
    began: float = field(default_factory=time.perf_counter)

    def collect(self, chunks: Iterator[Chunk]) -> Generation:
        texts: list[list[str]] = [[] for _ in range(self.streams)]
        ids: list[list[int]] = [[] for _ in range(self.streams)]
        ended = [""] * self.streams
        for chunk in chunks:
            texts[chunk.stream].append(chunk.text)
            ids[chunk.stream].extend(chunk.ids)
            ended[chunk.stream] = chunk.ended or ended[chunk.stream]
        return Generation(
            prompt=self.prompt,
            texts=tuple("".join(parts) for parts in texts),
            ids=tuple(tuple(numbers) for numbers in ids),
            ended=tuple(ended),
            seed=self.seed,
            symbols=sum(map(len, ids)),
            seconds=time.perf_counter() - self.began,
            unknown=self.unknown,
        )
