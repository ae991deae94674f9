"""The rules every corpus reader keeps, as functions to call from a plugin's own tests.

from textgen.conformance.check_reader import check_reader

def test_conforms(tmp_path):
    check_reader(MyReader, str(write_some_source(tmp_path)))
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from textgen.conformance.rules import Finding, Findings, enforce, in_turn
from textgen.contracts.errors import UserError
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
    enforce(examine_reader(reader_class, source, options))


def examine_reader(
    reader_class: type[Reader], source: str, options: Mapping[str, Any] | None = None
) -> Findings:
    """The same, rule by rule. Raises UserError for options that the reader does not have."""
    built = build_options(reader_class.Options, options or {}, reader_class.__name__)
    return in_turn(_parts(lambda where: reader_class(where, built), source))


def _parts(made: Callable[[str], Reader], source: str) -> Iterator[Findings]:
    reader = made(source)
    first: Summary = []
    yield _documents(reader, first)
    yield _claims(reader)
    yield _restarting(reader, first)
    yield _facts(reader, made(source), first)
    if Path(source).exists():
        yield _refusal(made, f"{source}.is-not-there")


def _claims(reader: Reader) -> Findings:
    yield Finding(
        all(s.startswith(".") and s == s.lower() for s in reader.suffixes)
        and not any(":" in s for s in reader.schemes),
        "Suffixes begin with a dot and are lower case; schemes are without their colon.",
        ", ".join((*reader.suffixes, *reader.schemes)) or "none",
        'suffixes = ("csv",) instead of (".csv",)',
    )


def _documents(reader: Reader, first: Summary) -> Findings:
    """Reads them all, and adds them to ``first``."""
    for document in reader.documents():
        yield from _summing_up(document, first)
    yield Finding(
        bool(first),
        "A reader gives documents.",
        f"{len(first)}",
        "the source is empty, or all is skipped",
    )


def _summing_up(document: Document, summary: Summary) -> Findings:
    yield Finding(
        isinstance(document, Document) and isinstance(document.name, str) and bool(document.name),
        "documents() gives Documents with a name.",
        repr(getattr(document, "name", document))[:100],
        "a bare string or tuple was yielded",
    )
    yield Finding(
        document.split in SPLITS,
        "A document's split is train, validation, test or None.",
        repr(document.split),
        "the source's own word (dev, valid) was passed on",
    )
    digest, longest = hashlib.sha256(), 0
    for piece in document.pieces:
        yield Finding(
            isinstance(piece, str),
            "Pieces are strings.",
            f"{type(piece).__name__} in {document.name}",
            "bytes were not decoded",
        )
        longest = max(longest, len(piece))
        digest.update(piece.encode("utf-8", "surrogatepass"))
    yield Finding(
        longest <= LARGEST_PIECE,
        f"A piece has at most {LARGEST_PIECE} characters, so that memory stays bounded.",
        f"{longest} in {document.name}",
        "a whole file was read at once",
    )
    summary.append((document.name, digest.hexdigest(), document.split))


def _read(reader: Reader) -> Summary:
    summary: Summary = []
    for document in reader.documents():
        enforce(_summing_up(document, summary))
    return summary


def _restarting(reader: Reader, first: Summary) -> Findings:
    begun = reader.documents()
    next(begun, None)
    again = _read(reader)
    yield Finding(
        again == first,
        "documents() starts again from the first at each call, in the same order.",
        _difference(first, again),
        "an open file or iterator is kept on self, or the order is that of a set or of os.scandir",
    )
    names = [document.name for document in reader.documents()]
    yield Finding(
        names == [name for name, _, _ in first],
        "Documents are the same when their pieces are not read.",
        f"{len(names)} documents of {len(first)}",
        "all documents share one iterator, and moving on does not skip the rest of a document",
    )


def _facts(reader: Reader, other: Reader, first: Summary) -> Findings:
    fingerprints = {reader.fingerprint(), reader.fingerprint(), other.fingerprint()}
    yield Finding(
        len(fingerprints) == 1 and all(isinstance(f, str) and f for f in fingerprints),
        "fingerprint() is a text that is the same while the source is.",
        ", ".join(sorted(map(repr, fingerprints))),
        "the time of the call, an id() or an iteration order went into it",
    )
    size = reader.size()
    yield Finding(
        size is None or (isinstance(size, int) and size >= 0),
        "size() is a number of bytes, or None.",
        repr(size),
        "a float, or a negative guess for an unknown size",
    )
    twin = _read(other)
    yield Finding(
        twin == first,
        "Two readers of one source give the same documents.",
        _difference(first, twin),
        "the first reader used the source up, or changed it",
    )


def _refusal(made: Callable[[str], Reader], missing: str) -> Findings:
    try:
        count = len(list(made(missing).documents()))
        found = f"{count} documents of a file that is not there"
    except UserError as error:
        found = error.problem
        count = -1
    except Exception as error:
        found, count = f"{type(error).__name__}: {error}", 0
    yield Finding(
        count < 0,
        "A source that is not there is refused with a UserError.",
        found,
        "open() was not guarded: raise UserError(what is wrong, what to do)",
    )


def _difference(first: Summary, other: Summary) -> str:
    for number, (one, two) in enumerate(zip(first, other, strict=False)):
        if one != two:
            return f"document {number} was {one[0]!r} and is {two[0]!r}"
    return f"{len(other)} documents of {len(first)}"
