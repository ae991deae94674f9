"""Bytes become text: any encoding by name, a piece at a time.

A byte order mark is dropped, and CRLF and lone CR become LF, so that one text written on two
systems is one corpus. A decoding error names the file and the byte offset.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from textgen.contracts.errors import UserError
from textgen.contracts.options import option

PIECE = 1 << 20
"""Bytes read at a time."""


@dataclass(frozen=True)
class TextOptions:
    """What every reader of text files lets one choose."""

    encoding: str = option("utf-8", "name of the encoding, as Python knows it")


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked where its name ends in .gz."""
    try:
        if path.suffix == ".gz":
            return cast("IO[bytes]", gzip.open(path, "rb"))
        return path.open("rb")
    except OSError as error:
        raise UserError(
            f"{path} could not be read: {error.strerror or error}.", "Check the path."
        ) from error


def decoded(path: Path, encoding: str) -> Iterator[str]:
    """The text of ``path`` in pieces of about a megabyte.

    Raises UserError for an encoding nobody knows, bytes that are not of it, and binary files.
    """
    decoder = _decoder(encoding)
    binary_check = not encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32"))
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    offset, first = 0, True
    with open_bytes(path) as file:
        while True:
            block = _read(file, path)
            if binary_check and (nul := block.find(0)) >= 0:
                raise UserError(
                    f"{path} is not a text: it has a NUL byte at offset {offset + nul}.",
                    "Name its encoding (--encoding), or leave the file out.",
                )
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                at = offset + len(block) - len(error.object) + error.start
                raise UserError(
                    f"{path} is not {encoding}: byte offset {at} holds "
                    f"0x{error.object[error.start]:02x} ({error.reason}).",
                    "Name its encoding, for example --encoding latin-1.",
                ) from error
            text = newlines.decode(text, final=not block)
            if first and text:
                text, first = text.removeprefix("\ufeff"), False
            if text:
                yield text
            if not block:
                return
            offset += len(block)


def lines(pieces: Iterator[str]) -> Iterator[str]:
    """The text's lines, without their ends."""
    rest = ""
    for piece in pieces:
        whole = (rest + piece).split("\n")
        rest = whole.pop()
        yield from whole
    if rest:
        yield rest


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    try:
        return codecs.getincrementaldecoder(encoding)()
    except LookupError:
        raise UserError(
            f"There is no text encoding named {encoding!r}.",
            "Common ones: utf-8, latin-1, cp1252, utf-16, shift_jis, gb18030, koi8-r.",
        ) from None


def _read(file: IO[bytes], path: Path) -> bytes:
    try:
        return file.read(PIECE)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} could not be read: {error}.", "Check that it is whole.") from error
