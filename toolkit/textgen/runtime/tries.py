"""Texts that are not wanted are refused, and tried again in the same batch.

Each sample is the first wanted one of the tries of its stream: what it is does not depend on how
many samples are written, nor on how they come. So texts are drawn from the model's distribution
given that they are wanted. Where samples must differ, those of lower number come first.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from textgen.known_texts import KnownTexts
from textgen.runtime.encoding import Decoder
from textgen.runtime.engine import Cursor
from textgen.runtime.wanted import Wanted
from textgen.runtime.writer import ROWS, Chunk, Stream, Writer


@dataclass(frozen=True)
class Judge:
    """Says why a text is refused, if it is."""

    wanted: Wanted
    ends: bool
    """Whether texts end of themselves: then one that was cut off is none."""
    prompt: str
    """What stands before each text, and belongs to it."""
    before: np.ndarray
    """The ids of all that was read before, which belong to the document."""
    known: KnownTexts | None
    """The documents of the corpus."""

    def refusal(self, text: str, ids: Sequence[int], ended: str) -> str | None:
        """Why ``text``, of the symbols ``ids``, is not wanted; None where it is."""
        cut = self.ends and ended == "length"
        reason = self.wanted.refusal(self.prompt + text, len(ids), cut=cut)
        if reason is None and self.known is not None:
            document = np.concatenate([self.before, np.array(ids, np.int64)])
            return "in the corpus" if document in self.known else None
        return reason


@dataclass(frozen=True)
class _Try:
    text: str
    ids: tuple[int, ...]
    ended: str
    reason: str | None


@dataclass
class _Sample:
    """One sample and its tries, in their order."""

    stream: Stream
    tries: int
    """How many it may have."""
    finished: list[_Try] = field(default_factory=list)
    begun: int = 0
    parts: list[Chunk] = field(default_factory=list)
    """Of the try that is being written."""

    @property
    def idle(self) -> bool:
        """Whether its next try may begin."""
        return self.begun == len(self.finished) < self.tries

    @property
    def given_up(self) -> bool:
        """Whether all its tries are finished; one of them may be wanted."""
        return len(self.finished) == self.tries

    def next_try(self, decoder: Decoder) -> Stream:
        """Its stream once more, with other noise."""
        self.begun += 1
        return replace(self.stream, attempt=self.begun - 1, decoder=decoder)

    def add(self, chunk: Chunk, judge: Judge) -> None:
        """The next piece of the try that is being written."""
        self.parts.append(chunk)
        if chunk.ended:
            text = "".join(part.text for part in self.parts)
            ids = sum((part.ids for part in self.parts), ())
            reason = judge.refusal(text, ids, chunk.ended)
            self.finished.append(_Try(text, ids, chunk.ended, reason))
            self.parts = []

    def choice(self, taken: Container[str]) -> int | None:
        """The place of the first wanted try whose text is not ``taken``."""
        for place, found in enumerate(self.finished):
            if found.reason is None and found.text not in taken:
                return place
        return None

    def told(self, choice: int | None) -> Chunk:
        """The try at the place ``choice``, or that there is none."""
        refused = tuple(found.reason or "repeated" for found in self.finished[:choice])
        if choice is None:
            return Chunk(self.stream.sample, "", (), "refused", refused)
        found = self.finished[choice]
        return Chunk(self.stream.sample, found.text, found.ids, found.ended, refused)


def write_wanted(
    writer: Writer, origin: Cursor, streams: Sequence[Stream], judge: Judge
) -> Iterator[Chunk]:
    """One chunk for each of ``streams``, in their order: its first wanted text, or ended
    ``refused`` where none of its tries was one.

    Each goes on from its row of ``origin``, or all from the only one.
    """
    samples = {stream.sample: _Sample(stream, judge.wanted.tries) for stream in streams}
    waiting = list(samples.values())
    told: set[str] = set()
    while waiting:
        choices = _choices(waiting, told if judge.wanted.unique else None)
        settled = 0
        for sample, choice in zip(waiting, choices, strict=True):
            if choice is None and not sample.given_up:
                break
            chunk = sample.told(choice)
            told.add(chunk.text)
            settled += 1
            yield chunk
        going = zip(waiting[settled:], choices[settled:], strict=True)
        idle = [sample for sample, choice in going if choice is None and sample.idle]
        starting = idle[: ROWS - len(writer.streams)]
        rows = np.array([s.stream.sample for s in starting], np.int64) % len(origin.token)
        writer.begin([s.next_try(Decoder(writer.vocabulary)) for s in starting], origin.rows(rows))
        waiting = waiting[settled:]
        for stream, chunk, _ in writer.turn() if writer.streams else ():
            samples[stream.sample].add(chunk, judge)


def _choices(samples: Sequence[_Sample], told: set[str] | None) -> list[int | None]:
    """Which try each sample would take by now: its first wanted one, and where ``told`` are the
    texts that are settled, the first that is neither of those nor taken by a sample before it."""
    if told is None:
        return [sample.choice(()) for sample in samples]
    taken, choices = set(told), []
    for sample in samples:
        choices.append(choice := sample.choice(taken))
        if choice is not None:
            taken.add(sample.finished[choice].text)
    return choices
