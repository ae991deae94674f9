"""Generation: streams of text from an engine, in chunks that come early."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Vocabulary
from textgen.runtime.chain import Chain
from textgen.runtime.encoding import Decoder
from textgen.runtime.engine import Cursor, Engine
from textgen.runtime.loop_graph import FREE
from textgen.runtime.noise import SEEDS, noise

_FIRST_CHUNK, _LARGEST_CHUNK = 16, 256
_PROMPT_CHUNK = 4096


@dataclass(frozen=True)
class Chunk:
    """A piece of one stream's text, as it comes."""

    stream: int
    text: str
    ids: tuple[int, ...]
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


@dataclass
class _Stream:
    """What is known of one stream while it is written."""

    number: int
    decoder: Decoder
    held: str = ""
    written: int = 0


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
    if not 0 <= seed < SEEDS:
        raise UserError(f"The seed cannot be {seed}.", f"It is from 0 to {SEEDS - 1}.")
    return seed


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
) -> Iterator[Chunk]:
    """The texts that go on from ``cursor``, one stream a row, as they come.

    ``positions`` are how many symbols each stream has written before; they place its noise. A
    stream that has ended leaves the batch.
    """
    streams = [_Stream(number, Decoder(vocabulary)) for number in range(len(cursor.token))]
    done, size = 0, _FIRST_CHUNK
    while streams and done < limits.length:
        turns = min(size, limits.length - done)
        numbers = np.array([stream.number for stream in streams])
        places = np.array([positions[n] for n in numbers])[None, :] + np.arange(turns)[:, None]
        random = noise(seed, numbers, places + done)
        forced = np.full((turns, len(streams)), FREE, np.int64)
        ids, cursor = engine.write(cursor, chain, forced, random)
        done += turns
        going = []
        for column, stream in enumerate(streams):
            chunk = _advance(stream, ids[:, column], limits, vocabulary, done)
            if chunk.text or chunk.ended or chunk.ids:
                yield chunk
            if not chunk.ended:
                going.append(column)
        if len(going) < len(streams):
            streams = [streams[column] for column in going]
            cursor = cursor.rows(np.array(going, np.int64))
        size = min(2 * size, _LARGEST_CHUNK)
    if limits.length == 0:
        yield from (Chunk(stream.number, "", (), "length") for stream in streams)


def _advance(
    stream: _Stream, ids: np.ndarray, limits: Limits, vocabulary: Vocabulary, done: int
) -> Chunk:
    """The stream's next text, cut where it ends; what may begin a stop string is held back."""
    ended = None
    if limits.boundary and (at := np.flatnonzero(ids == vocabulary.boundary)).size:
        ids, ended = ids[: at[0]], "boundary"
    elif done >= limits.length:
        ended = "length"
    text = stream.held + stream.decoder.feed(ids)
    if ended:
        text += stream.decoder.end()
    stream.held = ""
    stream.written += len(ids)
    found = [place for stop in limits.stop if (place := text.find(stop)) >= 0]
    if found:
        text, ended = text[: min(found)], "stop"
    elif not ended:
        keep = max((_overlap(text, stop) for stop in limits.stop), default=0)
        stream.held = text[len(text) - keep :]
        text = text[: len(text) - keep]
    return Chunk(stream.number, text, tuple(ids.tolist()), ended)


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
