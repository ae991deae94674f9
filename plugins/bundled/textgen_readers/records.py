"""What the readers of records share: a field or a template chooses the text of each."""

from __future__ import annotations

import string
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from textgen.contracts.errors import UserError
from textgen.contracts.reader import Document, Reader
from textgen_readers.files import PIECE_BYTES, Source, check_encoding, read_text

LONGEST = 1 << 26
"""Characters of the longest line that is held in memory."""


def split_lines(pieces: Iterable[str], name: str) -> Iterator[str]:
    """Lines without their ends. Only LF ends a line, so that a text means the same everywhere.

    Raises UserError for a line of more than 64 million characters, which is no line.
    """
    held: list[str] = []
    length = 0
    for piece in pieces:
        first, *others = piece.split("\n")
        held.append(first)
        length += len(first)
        if length > LONGEST:
            raise UserError(
                f"{name} has a line of more than {LONGEST} characters.",
                "Read it as running text: --reader text.",
            )
        if others:
            yield "".join(held)
            yield from others[:-1]
            held, length = [others[-1]], len(others[-1])
    if held and (last := "".join(held)):
        yield last


class RecordReader(Reader):
    """A reader whose documents are records, several in a file."""

    records = True

    def __init__(self, source: str, options: Any) -> None:
        super().__init__(source, options)
        check_encoding(options.encoding)
        self._files = Source(source)

    def documents(self) -> Iterator[Document]:
        for name, path in self._files.files():
            for number, text in self.texts(name, path):
                if text:
                    yield Document(f"{name}:{number}", _pieces(text))

    @abstractmethod
    def texts(self, name: str, path: Path) -> Iterator[tuple[int, str]]:
        """The line number and the text of each record in one file."""

    def lines(self, name: str, path: Path) -> Iterator[str]:
        """The lines of one file, decoded."""
        return split_lines(read_text(path, self.options.encoding, name), name)

    def fingerprint(self) -> str:
        return self._files.fingerprint()

    def size(self) -> int | None:
        return self._files.size()


def chooser(field: str, template: str) -> Callable[[Mapping[str, Any]], str]:
    """A function from a record to its text: ``template`` filled in, or the one ``field``.

    Templates hold ``{name}``; ``{{`` and ``}}`` are braces. The function raises KeyError naming a
    field that a record lacks; a null is empty.
    """
    if not template:
        return lambda record: text_of(record[field])
    parts = _parse(template)

    def fill(record: Mapping[str, Any]) -> str:
        return "".join(
            literal + (text_of(record[name]) if name is not None else "") for literal, name in parts
        )

    return fill


def text_of(value: Any) -> str:
    """A field as text: strings as they are, null empty, other values as JSON writes them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    # JSON may hold half of a surrogate pair; no text can, so it becomes the replacement character.
    return str(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def lacking(field: str, where: str, known: Iterable[str]) -> UserError:
    """The error for a record without ``field``."""
    listing = ", ".join(known) or "none"
    return UserError(
        f"{where} has no field {field!r}.",
        f"It has: {listing}. Choose with --field NAME or --template '{{NAME}}'.",
    )


def _pieces(text: str) -> tuple[str, ...]:
    if len(text) <= PIECE_BYTES:
        return (text,)
    return tuple(text[i : i + PIECE_BYTES] for i in range(0, len(text), PIECE_BYTES))


def _parse(template: str) -> list[tuple[str, str | None]]:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UserError(
            f"The template {template!r} cannot be read: {error}.",
            "Write fields as {name}, and a brace as {{ or }}.",
        ) from error
    for _, name, form, conversion in parts:
        if name == "" or form or conversion:
            raise UserError(
                f"The template {template!r} may only name fields.", "Write fields as {name}."
            )
    return [(literal, name) for literal, name, _, _ in parts]
