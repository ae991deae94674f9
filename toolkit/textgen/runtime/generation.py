"""Generation: texts from an engine, in chunks that come early, and what they were in the end."""

from __future__ import annotations

import secrets
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Vocabulary
from textgen.runtime.chain import Options
from textgen.runtime.encoding import Decoder
from textgen.runtime.engine import Cursor
from textgen.runtime.noise import SEEDS
from textgen.runtime.writer import ROWS, Chunk, Limits, Stream, Writer

MOST_SAMPLES = 1_000_000
"""Of one call: each takes room before it is begun."""


@dataclass(frozen=True)
class Generation:
    """What was written."""

    prompt: str
    texts: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    ended: tuple[str, ...]
    """Why each text ends: ``length``, ``boundary``, ``stop``, or ``refused`` where no try was as
    wanted; that text is empty."""
    seed: int | tuple[int, ...]
    symbols: int
    seconds: float
    unknown: tuple[str, ...] = ()
    """What the prompt held that the model has no symbol for; it was left out."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """How many tries were refused, by reason."""

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
            "seed": list(self.seed) if isinstance(self.seed, tuple) else self.seed,
            "symbols": self.symbols,
            "seconds": self.seconds,
            "symbols_per_second": self.symbols_per_second,
            "unknown": list(self.unknown),
            "refused": dict(self.refused),
        }


def check_seed(seed: int) -> int:
    """The seed, if it can be one. Raises UserError."""
    if not isinstance(seed, int | np.integer) or not 0 <= seed < SEEDS:
        raise UserError(f"The seed cannot be {seed}.", f"It is from 0 to {SEEDS - 1}.")
    return int(seed)


def check_seeds(seed: int | Sequence[int] | None, samples: int) -> int | tuple[int, ...]:
    """The seed, drawn where it is None, or one for each sample. Raises UserError."""
    if seed is None:
        return secrets.randbelow(1 << 32)
    if not isinstance(seed, Sequence):
        return check_seed(seed)
    if len(seed) != samples:
        raise UserError(
            f"There are {len(seed)} seeds for {samples} samples.",
            "Give one for all, or one for each.",
        )
    return tuple(map(check_seed, seed))


def how_many(samples: int | None, *given: Any) -> int:
    """The number of samples: as said, or else as many as the longest list that was ``given``."""
    if samples is None:
        return max((len(v) for v in given if isinstance(v, list | tuple)), default=1)
    if not 1 <= samples <= MOST_SAMPLES:
        raise UserError(
            f"The number of samples cannot be {samples}.",
            f"It is from 1 to {MOST_SAMPLES:,}; another seed writes others.",
        )
    return samples


def build_streams(
    samples: int,
    seed: int | Sequence[int],
    limits: Sequence[Limits],
    options: Options | None,
    vocabulary: Vocabulary,
) -> list[Stream]:
    """The streams of so many samples: those of one seed, numbered, or the first of each seed.

    ``limits`` are one for all or one a sample; ``options`` are (samples, 1) each.
    """
    return [
        Stream(
            sample=n,
            limits=limits[n % len(limits)],
            decoder=Decoder(vocabulary),
            seed=seed[n] if isinstance(seed, Sequence) else seed,
            number=0 if isinstance(seed, Sequence) else n,
            options=options
            and [{name: value[n : n + 1] for name, value in link.items()} for link in options],
        )
        for n in range(samples)
    ]


def stops_of(stop: Sequence[str] | Sequence[Sequence[str]], samples: int) -> list[tuple[str, ...]]:
    """The stop strings of all samples, or of each. Raises UserError where they are of another
    number of samples."""
    if isinstance(stop, str) or all(isinstance(text, str) for text in stop):
        return [(stop,) if isinstance(stop, str) else tuple(map(str, stop))]
    if len(stop) != samples:
        raise UserError(
            f"There are stop strings for {len(stop)} of {samples} samples.",
            "Give the same to all, or a list to each.",
        )
    return [(own,) if isinstance(own, str) else tuple(own) for own in stop]


def write(writer: Writer, origin: Cursor, streams: Sequence[Stream]) -> Iterator[Chunk]:
    """The texts of ``streams`` as they come. Each goes on from its row of ``origin``, or all from
    the only one.

    A stream that has ended leaves the batch, and one that waited for a row begins.
    """
    waiting = deque(enumerate(streams))
    while waiting or writer.streams:
        free = min(ROWS - len(writer.streams), len(waiting))
        chosen = [waiting.popleft() for _ in range(free)]
        rows = np.array([place for place, _ in chosen], np.int64) % len(origin.token)
        writer.begin([stream for _, stream in chosen], origin.rows(rows))
        for _, chunk, _ in writer.turn():
            if chunk.text or chunk.ended or chunk.ids:
                yield chunk


@dataclass
class Collector:
    """Gathers chunks into a Generation."""

    streams: int
    seed: int | tuple[int, ...]
    prompt: str
    unknown: tuple[str, ...]
    began: float = field(default_factory=time.perf_counter)

    def collect(self, chunks: Iterator[Chunk]) -> Generation:
        texts: list[list[str]] = [[] for _ in range(self.streams)]
        ids: list[list[int]] = [[] for _ in range(self.streams)]
        ended = [""] * self.streams
        refused: Counter[str] = Counter()
        for chunk in chunks:
            texts[chunk.stream].append(chunk.text)
            ids[chunk.stream].extend(chunk.ids)
            ended[chunk.stream] = chunk.ended or ended[chunk.stream]
            refused.update(chunk.refused)
        return Generation(
            prompt=self.prompt,
            texts=tuple("".join(parts) for parts in texts),
            ids=tuple(tuple(numbers) for numbers in ids),
            ended=tuple(ended),
            seed=self.seed,
            symbols=sum(map(len, ids)),
            seconds=time.perf_counter() - self.began,
            unknown=self.unknown,
            refused=dict(refused),
        )
