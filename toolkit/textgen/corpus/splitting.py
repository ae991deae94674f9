"""Which part of a packed corpus is for training, which for validation, which for the last test.

``random`` shares out whole documents by a keyed hash of their text: equal documents have equal
hashes, so they never stand on both sides, and the same seed gives the same split on any machine.
``tail`` takes the end of every document of running text (train, then validation, then test); of a
list it takes the last documents, but one that also stands earlier stays with its first occurrence.

Left out, lists are split at random. Of running text, the tail of each document is taken, except
where there are many files and none of them is large: then whole files at random, so that no
validation text continues a text that was trained on. What the source itself says goes before all
of this.

Nothing here holds a table of all documents in memory: they are read from disk in chunks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from textgen.contracts.errors import UserError
from textgen.corpus.documents import FILES, NONE, DocumentSettings

SPLITS = ("train", "validation", "test")
UNSAID = -1
"""In the table of documents: the source does not say which split one belongs to."""

TABLE = np.dtype([("start", "<i8"), ("end", "<i8"), ("key", "<u8"), ("split", "<i8")])
"""A row a document: its ids are ids[start:end]; ``key`` is the keyed hash of its text."""

MANY_FILES = 20
LARGE_SHARE = 0.1
_CHUNK = 1 << 18
_BUCKET_BITS = 20


@dataclass
class Table:
    """The documents of a corpus, on disk in the order of the text."""

    path: Path
    count: int = 0
    symbols: int = 0
    longest: int = 0
    unsaid: int = 0

    def chunks(self) -> Iterator[np.ndarray]:
        """The rows, a quarter of a million at a time, without documents that have no symbol."""
        with self.path.open("rb") as file:
            while data := file.read(_CHUNK * TABLE.itemsize):
                rows = np.frombuffer(data, TABLE)
                yield rows[rows["end"] > rows["start"]]


@dataclass
class Split:
    """A way to split a table of documents. ``within`` cuts every document, else they stay whole."""

    kind: str
    within: bool
    settings: DocumentSettings
    limits: tuple[int, int] = (0, 0)
    """random: buckets of the hash below which a document is for validation, for test. tail of a
    list: numbers of documents for train, for train and validation."""
    earlier: list[np.ndarray] = field(default_factory=list)
    """tail of a list: the sorted keys of the documents meant for train, for validation."""

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "of": "each document" if self.within else "documents",
            "seed": self.settings.seed,
            "sizes": list(self.settings.sizes),
        }


def choose_split(
    table: Table, documents: str, settings: DocumentSettings, scratch: Path, name: str
) -> Split:
    """The split for a table of documents. ``scratch`` is a folder for what outgrows memory.

    Raises UserError where whole documents cannot be shared out, because there are too few.
    """
    running = documents in (FILES, NONE)
    kind = settings.split
    if kind is None:
        large = table.longest > LARGE_SHARE * table.symbols
        kind = "tail" if running and (table.count < MANY_FILES or large) else "random"
    if kind == "tail":
        split = Split("tail", running, settings)
        return split if running else _last_documents(split, table, scratch)
    if table.count < 3 and table.unsaid and sum(settings.sizes[1:]) > 0 and settings.split:
        raise UserError(
            f"{name} cannot be split at random: it has {table.count} document"
            f"{'' if table.count == 1 else 's'}.",
            "Use --split tail, or --documents lines.",
        )
    return _hashed(Split("random", False, settings), table)


def spans(split: Split, table: Table) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each chunk of documents, which split (n,) its spans belong to, and those (n, 2)."""
    seen = 0
    for rows in table.chunks():
        if split.within:
            yield _cut(rows, split)
            continue
        chosen = _said(rows)
        unsaid = chosen == UNSAID
        if split.kind == "random":
            chosen[unsaid] = _by_hash(rows["key"][unsaid], split.limits)
        else:
            order = seen + np.arange(unsaid.sum())
            chosen[unsaid] = _by_order(order, rows["key"][unsaid], split)
            seen += int(unsaid.sum())
        yield chosen, np.stack([rows["start"], rows["end"]], axis=1)


def _said(rows: np.ndarray) -> np.ndarray:
    return rows["split"].copy()


def _cut(rows: np.ndarray, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Every document in three: its beginning for train, then validation, then test."""
    start, end, said = rows["start"], rows["end"], rows["split"]
    train, both, total = _whole_sizes(split.settings.sizes)
    length = end - start
    first = start + length * train // total
    second = start + length * both // total
    edges = np.stack([start, first, second, end], axis=1)
    pieces = np.stack([edges[:, :-1], edges[:, 1:]], axis=2)  # (documents, 3, 2)
    chosen = np.tile(np.arange(3), (len(rows), 1))
    whole = said != UNSAID
    chosen[whole] = said[whole, None]
    chosen, pieces = chosen.reshape(-1), pieces.reshape(-1, 2)
    if whole.any():  # what the source assigns is not cut
        keep = ~np.repeat(whole, 3)
        chosen = np.concatenate([chosen[keep], said[whole]])
        pieces = np.concatenate([pieces[keep], np.stack([start[whole], end[whole]], axis=1)])
        order = np.argsort(pieces[:, 0], kind="stable")
        chosen, pieces = chosen[order], pieces[order]
    some = pieces[:, 1] > pieces[:, 0]
    return chosen[some], pieces[some]


def _whole_sizes(sizes: tuple[float, float, float]) -> tuple[int, int, int]:
    """Train, train and validation, and all three, as whole numbers: products stay exact."""
    scaled = [round(size * 10_000) for size in sizes]
    return scaled[0], scaled[0] + scaled[1], sum(scaled)


def _hashed(split: Split, table: Table) -> Split:
    """Sets the limits so that the sizes come out by symbols, to one bucket of the hash.

    A million buckets: two documents share one only by rare chance, and then a side.
    """
    weights = np.zeros(1 << _BUCKET_BITS)
    for rows in table.chunks():
        rows = rows[rows["split"] == UNSAID]
        lengths = rows["end"] - rows["start"]
        weights += np.bincount(_bucket(rows["key"]), lengths, minlength=len(weights))
    filled = np.flatnonzero(weights)
    if len(filled) < 2:
        return split
    total = np.concatenate([[0], np.cumsum(weights[filled])])
    shares = np.array(split.settings.sizes) / sum(split.settings.sizes)
    validation = _nearest(total, total[-1] * shares[1], least=int(shares[1] > 0))
    both = _nearest(total, total[-1] * (shares[1] + shares[2]), validation + int(shares[2] > 0))
    # Training comes first where there are too few documents for three splits, then validation.
    both = min(both, len(filled) - 1)
    validation = min(validation, max(both - int(shares[2] > 0), int(shares[1] > 0)))
    edges = np.append(filled, len(weights))
    split.limits = (int(edges[validation]), int(edges[max(both, validation)]))
    return split


def _nearest(total: np.ndarray, wanted: float, least: int) -> int:
    """How many buckets together are nearest to ``wanted``, but at least ``least``."""
    return max(int(np.argmin(np.abs(total - wanted))), least)


def _bucket(keys: np.ndarray) -> np.ndarray:
    return (keys >> np.uint64(64 - _BUCKET_BITS)).astype(np.int64)


def _by_hash(keys: np.ndarray, limits: tuple[int, int]) -> np.ndarray:
    bucket = _bucket(keys)
    return np.where(bucket < limits[0], 1, np.where(bucket < limits[1], 2, 0))


def _last_documents(split: Split, table: Table, scratch: Path) -> Split:
    """Sets the limits by counting symbols from the start, and sorts the keys of what is before."""
    train, both, total = _whole_sizes(split.settings.sizes)
    wanted = np.array([train, both])
    before, count = 0, 0
    limits = np.zeros(2, np.int64)
    symbols = sum(int((rows["end"] - rows["start"]).sum()) for rows in _undecided(table))
    for rows in _undecided(table):
        ends = before + np.cumsum(rows["end"] - rows["start"])
        limits += (ends[:, None] * total <= wanted * symbols).sum(axis=0)
        before, count = int(ends[-1]), count + len(rows)
    some_test = int(split.settings.sizes[2] > 0 and count >= 3)
    some_validation = int(split.settings.sizes[1] > 0 and count >= 2)
    second = min(int(limits[1]), count - some_test)
    first = max(min(int(limits[0]), second - some_validation), 1)
    split.limits = (first, max(second, first))
    split.earlier = [
        _sorted_keys(table, 0, split.limits[0], scratch / "train.keys"),
        _sorted_keys(table, *split.limits, scratch / "validation.keys"),
    ]
    return split


def _undecided(table: Table) -> Iterator[np.ndarray]:
    for rows in table.chunks():
        rows = rows[rows["split"] == UNSAID]
        if len(rows):
            yield rows


def _sorted_keys(table: Table, first: int, last: int, path: Path) -> np.ndarray:
    """The keys of the documents numbered ``first`` to ``last``, sorted in a file: not in memory."""
    if first >= last:
        return np.zeros(0, np.uint64)
    keys = np.memmap(path, np.uint64, "w+", shape=(last - first,))
    seen = 0
    for rows in _undecided(table):
        low, high = max(first - seen, 0), min(last - seen, len(rows))
        if low < high:
            at = seen + low - first
            keys[at : at + high - low] = rows["key"][low:high]
        seen += len(rows)
    keys.sort()
    return keys


def _by_order(order: np.ndarray, keys: np.ndarray, split: Split) -> np.ndarray:
    chosen = (order >= split.limits[0]).astype(np.int64) + (order >= split.limits[1])
    for earlier in (1, 0):
        known = split.earlier[earlier]
        late = np.flatnonzero(chosen > earlier)
        if len(known) and len(late):
            at = np.minimum(np.searchsorted(known, keys[late]), len(known) - 1)
            chosen[late[known[at] == keys[late]]] = earlier
    return chosen
