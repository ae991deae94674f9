"""What one document is: a file, a line, what stands between separators, or everything.

``--documents files`` takes the reader's documents as they come, ``lines`` one a line (empty lines
are passed over), ``none`` all of them as one text, and anything else is a SEPARATOR between
documents, in which ``\\n`` and ``\\t`` may be written. Left out, it is ``files``, except that a
single file that looks like a list is read as lines, and says so.
"""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from textgen.contracts.errors import PluginError, UserError
from textgen.contracts.reader import Document, Reader
from textgen.rewriting import Rule, check_rules

FILES, LINES, NONE = "files", "lines", "none"

LIST_SAMPLE = 1 << 18
"""Characters that are looked at to tell a list from running text."""

LONGEST = 1 << 26
"""Characters of the longest document between separators, which is held in memory."""


@dataclass(frozen=True)
class DocumentSettings:
    """How a corpus is cut into documents, and those into splits. None chooses from the text.

    ``sizes`` are shares of the text in train, validation and test; ``seed`` draws random splits;
    ``replace`` are rules by which each document is rewritten once it is cut.
    """

    documents: str | None = None
    split: str | None = None
    sizes: tuple[float, float, float] = (90.0, 5.0, 5.0)
    seed: int = 0
    replace: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        check_rules(self.replace)
        if self.split not in (None, "random", "tail"):
            raise UserError(f"There is no split {self.split!r}.", "It is random or tail.")
        if self.documents == "":
            raise UserError(
                "--documents needs a word: files, lines, none or a separator.",
                "Write for example --documents '\\n\\n'.",
            )
        train, validation, test = self.sizes
        if not (0 < train < float("inf") and 0 <= validation < float("inf")) or not (
            0 <= test < float("inf")
        ):
            raise UserError(
                f"Split sizes cannot be {train:g}/{validation:g}/{test:g}.",
                "Shares of train, validation and test, for example 90/5/5.",
            )


def parse_sizes(text: str) -> tuple[float, float, float]:
    """``90/5/5`` as three numbers: the shares of train, validation and test."""
    try:
        train, validation, test = (float(word) for word in text.split("/"))
    except ValueError:
        raise UserError(
            f"Split sizes {text!r} are not three numbers.",
            "Write the shares of train, validation and test, for example 90/5/5.",
        ) from None
    return train, validation, test


def documents_of(reader: Reader) -> Iterator[Document]:
    """The reader's documents, of which the first is looked at. Raises PluginError where it is
    none."""
    found = reader.documents()
    if not isinstance(found, Iterator):
        raise _no_documents(reader, found, "an iterator of Documents")
    first = next(found, None)
    if first is None:
        return iter(())
    if not isinstance(first, Document):
        raise _no_documents(reader, first, "a Document")
    if type(first.pieces) is not tuple:
        pieces = iter(first.pieces)
        beginning = tuple(itertools.islice(pieces, 1))
        first = replace(first, pieces=itertools.chain(beginning, pieces))
    else:
        beginning = first.pieces
    if beginning and not isinstance(beginning[0], str):
        raise _no_documents(reader, beginning[0], "a str as a Document's piece")
    return itertools.chain((first,), found)


def _no_documents(reader: Reader, found: object, wanted: str) -> PluginError:
    return PluginError(
        f"The reader {type(reader).__name__} gives a {type(found).__name__}, and not {wanted}.",
        f"textgen plugins check tries its rules, on {reader.source}: --source.",
    )


def choose_documents(reader: Reader, settings: DocumentSettings, name: str) -> tuple[str, str]:
    """What a document is in this corpus, and a notice where that was found by looking at it.

    ``lines`` also stands for the records of a table: each is written for itself.
    """
    if reader.records:
        return (settings.documents if settings.documents == NONE else LINES), ""
    if settings.documents is not None:
        return settings.documents, ""
    documents = documents_of(reader)
    if next(documents, None) is None or next(documents, None) is not None:
        return FILES, ""
    if not looks_like_list(_beginning(reader)):
        return FILES, ""
    return LINES, (
        f"{name} looks like a list, so each line is a document "
        "(--documents files reads it as one text)."
    )


def looks_like_list(text: str) -> bool:
    """Whether ``text`` is many short different lines, none of them empty or like a sentence."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    if len(lines) < 20 or statistics.median(map(len, lines)) > 40 or max(map(len, lines)) > 200:
        return False
    sentences = sum(line.endswith((".", ",", ";", ":", "!", "?", "{", "}")) for line in lines)
    indented = sum(line[:1].isspace() for line in lines)
    few = len(lines) // 20
    return (
        "" not in lines
        and sentences <= few
        and indented <= few
        and len(set(lines)) * 2 > len(lines)
    )


def arrange(found: Iterable[Document], documents: str, records: bool) -> Iterator[Document]:
    """The documents a reader found, cut as ``documents`` says; ``records`` are not cut further."""
    if documents == NONE:
        return iter([Document("all", _joined(found))])
    if documents == FILES or records:
        return iter(found)
    separator = separator_of(documents)
    return itertools.chain.from_iterable(_parts(document, separator) for document in found)


def unescape(separator: str) -> str:
    """``\\n``, ``\\t`` and ``\\\\`` in a separator typed on a command line."""
    escapes = {r"\n": "\n", r"\t": "\t", r"\\": "\\"}
    return re.sub(r"\\[nt\\]", lambda match: escapes[match[0]], separator)


@dataclass(frozen=True)
class Block:
    """Whole documents, a ``separator`` between two; empty ones are none."""

    name: str
    text: str
    separator: str
    split: str | None


def separator_of(documents: str) -> str:
    """What stands between documents, in a text that is not read file by file."""
    return "\n" if documents == LINES else unescape(documents)


def blocks(found: Iterable[Document], separator: str, longest: int) -> Iterator[Block | Document]:
    """The documents that ``arrange`` finds between separators, many at once; those of more than
    ``longest`` characters by themselves.

    A separator ends at the first place where it can, as ``str.split`` has it.
    """
    for document in found:
        held = ""
        for piece in document.pieces:
            text = held + piece
            if len(separator) == 1:
                whole, cut, held = text.rpartition(separator)
            else:
                held = text.split(separator)[-1]
                cut = "" if len(held) == len(text) else separator
                whole = text[: len(text) - len(held) - len(cut)]
            if len(held) > LONGEST:
                raise _unseparated(document.name, separator)
            if cut:
                yield from _block(whole, separator, document, longest)
        yield from _block(held, separator, document, longest)


def _block(
    text: str, separator: str, document: Document, longest: int
) -> Iterator[Block | Document]:
    """``text``, of which only what was held before its last piece can be long."""
    if len(text) > longest:
        first, _, rest = text.partition(separator)
        if len(first) > longest:
            pieces = (first[at : at + longest] for at in range(0, len(first), longest))
            yield Document(document.name, pieces, document.split)
            text = rest
    if text:
        yield Block(document.name, text, separator, document.split)


def _unseparated(name: str, separator: str) -> UserError:
    return UserError(
        f"{name} has {LONGEST} characters without the separator {separator!r}.",
        "Read it as running text: --documents files.",
    )


def _parts(document: Document, separator: str) -> Iterator[Document]:
    """The texts between separators, each a document of its own; empty ones are passed over."""
    name, split = document.name, document.split
    held = ""
    number = 0
    for piece in document.pieces:
        *whole, held = (held + piece).split(separator)
        if len(held) > LONGEST:
            raise _unseparated(name, separator)
        for text in whole:
            number += 1
            if text:
                yield Document(f"{name}:{number}", (text,), split)
    if held:
        yield Document(f"{name}:{number + 1}", (held,), split)


def _joined(documents: Iterable[Document]) -> Iterator[str]:
    """One text of all documents, a new line between two where there is none."""
    last = "\n"
    for document in documents:
        first = True
        for piece in filter(None, document.pieces):
            if first and last != "\n":
                yield "\n"
            first, last = False, piece[-1]
            yield piece


def _beginning(reader: Reader) -> str:
    """The first lines of the first document; the line cut short by the end of the sample is left
    out."""
    pieces = itertools.chain.from_iterable(document.pieces for document in documents_of(reader))
    text = ""
    for piece in pieces:
        text += piece
        if len(text) > LIST_SAMPLE:
            return text[:LIST_SAMPLE].rpartition("\n")[0]
    return text
