"""Documents scored in order as they come: many side by side, long ones in parts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from textgen.contracts.reader import Document
from textgen.runtime.model import Model
from textgen.runtime.scoring import Total

HELD = 1 << 22
"""Characters that are held at once. A longer document is read in parts, by itself."""

_EACH = 100
"""Characters for which a document counts beside its own: a million empty ones take room too."""


@dataclass(frozen=True)
class Scored:
    """A document's name, what it costs, and its text where it was held whole."""

    name: str
    total: Total
    text: str | None


def score_documents(
    model: Model, documents: Iterable[Document], *, windows: int | None = None
) -> Iterator[Scored]:
    """What each document costs, read from the boundary to its end; in cold ``windows`` of so many
    symbols, if given (see ``WindowReading``). Memory is bounded, whatever their number and size.
    """
    group: list[tuple[str, str]] = []
    held = 0
    for document in documents:
        if windows is not None:
            total = _in_parts(model, document.pieces, document.name, windows)
            yield Scored(document.name, total, None)
            continue
        text, rest = _begun(document.pieces)
        if held + len(text) > HELD:
            yield from _together(model, group)
            group, held = [], 0
        if rest is None:
            group.append((document.name, text))
            held += len(text) + _EACH
        else:
            pieces = itertools.chain([text], rest)
            yield Scored(document.name, _in_parts(model, pieces, document.name), None)
    yield from _together(model, group)


def _begun(pieces: Iterable[str]) -> tuple[str, Iterator[str] | None]:
    """The first HELD characters of a text, or a few more, and the rest; None where that is all."""
    coming = iter(pieces)
    begun: list[str] = []
    length = 0
    for piece in coming:
        begun.append(piece)
        length += len(piece)
        if length > HELD:
            return "".join(begun), coming
    return "".join(begun), None


def _together(model: Model, group: list[tuple[str, str]]) -> Iterator[Scored]:
    scores = model.score_all([text for _, text in group])
    for (name, text), score in zip(group, scores, strict=True):
        yield Scored(name, score, text)


def _in_parts(model: Model, pieces: Iterable[str], name: str, windows: int | None = None) -> Total:
    reading = model.reading(windows)
    unknown: dict[str, None] = {}
    nats, symbols, characters = 0.0, 0, 0
    parts = itertools.chain(model.encoder.parts(pieces, name), [(model.closing, [])])
    for ids, unseen in parts:
        unknown.update(dict.fromkeys(unseen))
        characters += model.characters(ids)
        found = reading.read(ids)
        nats, symbols = nats + float(found.sum(dtype=np.float64)), symbols + len(found)
    found = reading.end()
    nats, symbols = nats + float(found.sum(dtype=np.float64)), symbols + len(found)
    return Total(nats, symbols, characters, tuple(unknown))
