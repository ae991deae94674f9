"""The rules every corpus reader keeps, as functions to call from a plugin's own tests.

from textgen.conformance.check_reader import check_reader

def test_conforms(tmp_path):
    check_reader(MyReader, str(write_some_source(tmp_path)))
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from textgen.conformance.rules import require
from textgen.contracts.options import build_options
from textgen.contracts.reader import Document, Reader

LARGEST_PIECE = 4 << 20
"""Characters. The contract says about a megabyte; this leaves room."""

SPLITS = (None, "train", "validation", "test")

Summary = list[tuple[str, str, str | None]]


def check_reader(
    reader_class: type[Reader], source: str, options: Mapping[str, Any] | None = None
) -> None:
    """Reads ``source``, which must hold at least one document, several times over.

    ``options`` are as a person would give them. Raises BrokenRuleError for the first broken rule.
    """

    def made() -> Reader:
        built = build_options(reader_class.Options, options or {}, reader_class.__name__)
        return reader_class(source, built)

    reader = made()
    first = [_summary(document) for document in reader.documents()]
    require(
        bool(first), "A reader gives documents.", "none", "the source is empty, or all is skipped"
    )
    _check_restart(reader, first)
    _check_skipping(reader, first)
    _check_facts(reader, made(), first)


def _summary(document: Document) -> tuple[str, str, str | None]:
    require(
        isinstance(document, Document) and isinstance(document.name, str) and bool(document.name),
        "documents() gives Documents with a name.",
        repr(document)[:100],
        "a bare string or tuple was yielded",
    )
    require(
        document.split in SPLITS,
        "A document's split is train, validation, test or None.",
        repr(document.split),
        "the source's own word (dev, valid) was passed on",
    )
    digest = hashlib.sha256()
    for piece in document.pieces:
        require(
            isinstance(piece, str),
            "Pieces are strings.",
            f"{type(piece).__name__} in {document.name}",
            "bytes were not decoded",
        )
        require(
            len(piece) <= LARGEST_PIECE,
            f"A piece has at most {LARGEST_PIECE} characters, so that memory stays bounded.",
            f"{len(piece)} in {document.name}",
            "a whole file was read at once",
        )
        digest.update(piece.encode("utf-8", "surrogatepass"))
    return document.name, digest.hexdigest(), document.split


def _check_restart(reader: Reader, first: Summary) -> None:
    begun = reader.documents()
    next(begun, None)
    again = [_summary(document) for document in reader.documents()]
    require(
        again == first,
        "documents() starts again from the first at each call, in the same order.",
        _difference(first, again),
        "an open file or iterator is kept on self, or the order is that of a set or of os.scandir",
    )


def _check_skipping(reader: Reader, first: Summary) -> None:
    names = [document.name for document in reader.documents()]
    require(
        names == [name for name, _, _ in first],
        "Documents are the same when their pieces are not read.",
        f"{len(names)} documents instead of {len(first)}",
        "all documents share one iterator, and moving on does not skip the rest of a document",
    )


def _check_facts(reader: Reader, other: Reader, first: Summary) -> None:
    fingerprints = {reader.fingerprint(), reader.fingerprint(), other.fingerprint()}
    require(
        len(fingerprints) == 1 and all(isinstance(f, str) and f for f in fingerprints),
        "fingerprint() is a text that is the same while the source is.",
        ", ".join(sorted(map(repr, fingerprints))),
        "the time of the call, an id() or an iteration order went into it",
    )
    size = reader.size()
    require(
        size is None or (isinstance(size, int) and size >= 0),
        "size() is a number of bytes, or None.",
        repr(size),
        "a float, or a negative guess for an unknown size",
    )
    twin = [_summary(document) for document in other.documents()]
    require(
        twin == first,
        "Two readers of one source give the same documents.",
        _difference(first, twin),
        "the first reader used the source up, or changed it",
    )


def _difference(first: Summary, other: Summary) -> str:
    for number, (one, two) in enumerate(zip(first, other, strict=False)):
        if one != two:
            return f"document {number} was {one[0]!r} and is {two[0]!r}"
    return f"{len(other)} documents instead of {len(first)}"
