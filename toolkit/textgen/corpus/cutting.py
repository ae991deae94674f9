"""Cuts a corpus into jobs that know nothing of each other: always the same ones in the same order.

Short documents go together, long ones in pieces cut where their tokenizer may be cut. What has to
be done in the order of the text stands between the jobs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from textgen.contracts.errors import UserError
from textgen.contracts.reader import Document
from textgen.corpus.documents import FILES, NONE, Block, arrange, blocks, separator_of
from textgen.corpus.encoding import ALPHABET, CHARACTERS, DOCUMENTS, STRETCH, Job
from textgen.corpus.splitting import SPLITS, UNSAID
from textgen.rewriting import Rewriting

PIECE = 1 << 18
"""Characters of a long document encoded together. Of larger pieces the arrays would be fetched from
the system and given back each time, which takes as long as all the rest."""

BATCH = 1 << 18
"""Characters of short documents encoded together, at least."""


@dataclass(frozen=True)
class Short:
    """Whole documents; ``splits`` has a number for each text of the job."""

    job: Job
    splits: list[int]


@dataclass(frozen=True)
class Begin:
    """A long document begins."""

    job: None = None


@dataclass(frozen=True)
class Part:
    """More of the long document: its text in UTF-8, and what of it can be encoded now."""

    data: bytes
    job: Job | None


@dataclass(frozen=True)
class End:
    """The long document has ended; ``key`` is the keyed hash of its text, 8 bytes."""

    key: bytes
    split: int
    job: None = None


Event = Short | Begin | Part | End


def found_in(documents: Iterable[Document], kind: str, records: bool) -> Iterator[Document | Block]:
    """What a reader found, cut as ``kind`` (lines, files, none, or a separator) says."""
    if kind in (FILES, NONE) or records:
        return arrange(documents, kind, records)
    return blocks(map(_moderate, documents), separator_of(kind), PIECE)


def cut(
    found: Iterable[Document | Block],
    rewriting: Rewriting,
    safe_cut: Callable[[str], int],
    salt: bytes,
) -> Iterator[Event]:
    """The events of a packing. Short documents are rewritten where they are encoded."""
    batch = _Batch(DOCUMENTS)
    for item in found:
        split = _split_number(item)
        if (text := _short(item)) is not None:
            if batch.add(text, split, item):
                yield batch.take()
            continue
        assert isinstance(item, Document)
        if batch.texts:
            yield batch.take()
        yield from _long(rewriting.pieces(item.pieces, item.name), split, safe_cut, salt)
    if batch.texts:
        yield batch.take()


def character_jobs(found: Iterable[Document | Block], rewriting: Rewriting) -> Iterator[Job]:
    """Jobs that together find every character."""
    batch = _Batch(ALPHABET)
    for item in found:
        if (text := _short(item)) is not None:
            if batch.add(text, UNSAID, item):
                yield batch.take().job
            continue
        assert isinstance(item, Document)
        for piece in moderate(rewriting.pieces(item.pieces, item.name)):
            yield Job(CHARACTERS, [piece])
    if batch.texts:
        yield batch.take().job


def moderate(pieces: Iterable[str]) -> Iterator[str]:
    """``pieces`` in strings of at most ``PIECE`` characters, without empty ones."""
    for piece in pieces:
        for start in range(0, len(piece), PIECE):
            yield piece[start : start + PIECE]


def _moderate(document: Document) -> Document:
    return Document(document.name, moderate(document.pieces), document.split)


class _Batch:
    """Short documents, or blocks of them, that wait for others."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._begin()

    def _begin(self) -> None:
        self.texts: list[str] = []
        self._splits: list[int] = []
        self._length = 0
        self._separator = ""

    def add(self, text: str, split: int, item: Document | Block) -> bool:
        """Whether there are enough now."""
        if text:
            self.texts.append(text)
            self._splits.append(split)
            self._length += len(text)
            self._separator = item.separator if isinstance(item, Block) else ""
        return self._length >= BATCH

    def take(self) -> Short:
        short = Short(Job(self._kind, self.texts, self._separator), self._splits)
        self._begin()
        return short


def _long(
    pieces: Iterable[str], split: int, safe_cut: Callable[[str], int], salt: bytes
) -> Iterator[Event]:
    # a salt keys the hash as a key does, at half the time for short texts
    digest = hashlib.blake2b(digest_size=8, salt=salt)
    held, began = "", False
    for piece in moderate(pieces):
        if not began:
            yield Begin()
            began = True
        data = piece.encode("utf-8", "surrogatepass")
        digest.update(data)
        held += piece
        at = safe_cut(held)
        yield Part(data, Job(STRETCH, [held[:at]]) if at else None)
        held = held[at:]
    if held:
        yield Part(b"", Job(STRETCH, [held]))
    if began:
        yield End(digest.digest(), split)


def _short(item: Document | Block) -> str | None:
    """Its text, where it need not be encoded in pieces."""
    if isinstance(item, Block):
        return item.text
    pieces = item.pieces
    if type(pieces) is tuple and len(pieces) == 1 and len(pieces[0]) < BATCH:
        return str(pieces[0])
    return None


def _split_number(item: Document | Block) -> int:
    if item.split is None:
        return UNSAID
    if item.split not in SPLITS:
        raise UserError(
            f"{item.name} says it belongs to a split {item.split!r}.",
            f"It is one of {', '.join(SPLITS)}.",
        )
    return SPLITS.index(item.split)
