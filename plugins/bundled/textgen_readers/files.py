"""Which files a source means, and their text, decoded as it streams.

Shared by all readers here: a source is a file, a folder, a glob, or ``-`` for standard input;
``.gz`` is unpacked on the way; a byte order mark is dropped and CRLF becomes LF (a lone CR stays).
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import os
import shutil
import sys
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from glob import glob, has_magic
from pathlib import Path
from typing import IO

from textgen.contracts.errors import UserError

PIECE_BYTES = 1 << 20
"""How much is read at a time."""

STANDARD_INPUT = "-"


def read_text(path: Path, encoding: str, name: str) -> Iterator[str]:
    """The text of ``path`` in pieces of about a megabyte; ``name`` is what errors call it.

    Raises UserError where it is missing, binary (NUL characters) or cannot be decoded, naming the
    offset of the first bad byte (in the unpacked text, where the file is compressed).
    """
    return without_bom_and_crlf(_decoded(path, encoding, name))


def without_bom_and_crlf(pieces: Iterator[str]) -> Iterator[str]:
    """``pieces`` without a leading byte order mark, with LF for CRLF, wherever a piece ends."""
    held = ""  # a CR whose LF may begin the next piece
    first = True
    for piece in pieces:
        if first and piece:
            piece = piece.removeprefix("\ufeff")
            first = False
        piece = held + piece
        held = "\r" if piece.endswith("\r") else ""
        piece = piece.removesuffix(held) if held else piece
        if "\r" in piece:
            piece = piece.replace("\r\n", "\n")
        if piece:
            yield piece
    if held:
        yield held


def check_encoding(encoding: str) -> None:
    """Raises UserError for a codec that Python does not have, or that yields no text."""
    try:
        b"text".decode(encoding, "replace")
        codecs.getincrementaldecoder(encoding)
    except (LookupError, ValueError) as error:
        raise UserError(
            f"There is no encoding named {encoding!r}.",
            "Write it as Python spells it, for example utf-8, latin-1, cp1252 or shift_jis.",
        ) from error


class Source:
    """The files that one source word means, in an order that is the same on every machine.

    ``include`` and ``exclude`` are comma-separated patterns, matched against a file's name and its
    path below the folder; they choose among the files of a folder or glob. Hidden files and
    folders (``.git``) are passed over there. Standard input is copied to a temporary file at
    first use, so that it can be read more than once.
    """

    def __init__(self, source: str, include: str = "", exclude: str = "") -> None:
        self._source = source
        self._include = _patterns(include)
        self._exclude = _patterns(exclude)
        self._spooled: Path | None = None

    def files(self) -> list[tuple[str, Path]]:
        """Each file's name for people and its path. Raises UserError where there is none."""
        if self._source == STANDARD_INPUT:
            return [("standard input", self._standard_input())]
        path = Path(self._source)
        if path.is_dir():
            return self._chosen(path, _below(path))
        if path.exists():
            return [(path.name, path)]
        if has_magic(self._source):
            # Path.glob takes no absolute patterns
            found = (Path(name) for name in glob(self._source, recursive=True))  # noqa: PTH207
            return self._chosen(Path(), (file for file in found if file.is_file()))
        raise UserError(
            f"There is no file or folder {self._source}.", "Check the path, or name a corpus."
        )

    def fingerprint(self) -> str:
        """Changes with the paths, sizes and times of the files; content is hashed for stdin."""
        digest = hashlib.sha256()
        for name, path in self.files():
            if self._source == STANDARD_INPUT:
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
                continue
            status = path.stat()
            words = (name, str(path.resolve()), status.st_size, status.st_mtime_ns)
            digest.update(repr(words).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def size(self) -> int:
        """Bytes on disk, compressed ones as they are."""
        return sum(path.stat().st_size for _, path in self.files())

    def _chosen(self, folder: Path, files: Iterator[Path]) -> list[tuple[str, Path]]:
        named = {_name(file, folder): file for file in files}
        chosen = [(name, named[name]) for name in sorted(named) if self._wanted(name)]
        if not chosen:
            what = f"{len(named)} files, none of which is included" if named else "no files"
            raise UserError(f"{self._source} holds {what}.", "Check the path and the patterns.")
        return chosen

    def _wanted(self, name: str) -> bool:
        if self._include and not _matches(name, self._include):
            return False
        return not _matches(name, self._exclude)

    def _standard_input(self) -> Path:
        if self._spooled is None:
            handle, name = tempfile.mkstemp(prefix="textgen-stdin-")
            self._spooled = Path(name)
            weakref.finalize(self, self._spooled.unlink, missing_ok=True)
            with os.fdopen(handle, "wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file, PIECE_BYTES)
        return self._spooled


def open_bytes(path: Path) -> IO[bytes]:
    """``path`` for reading, unpacked where its name ends in ``.gz``."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def _decoded(path: Path, encoding: str, name: str) -> Iterator[str]:
    check_encoding(encoding)
    decoder = codecs.getincrementaldecoder(encoding)()
    consumed = 0
    try:
        with open_bytes(path) as file:
            while chunk := file.read(PIECE_BYTES):
                consumed += len(chunk)
                yield _decode(decoder, chunk, consumed, encoding, name)
        yield _decode(decoder, b"", consumed, encoding, name, final=True)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UserError(
            f"{name} is not whole gzip: {error}.", "Fetch it again, or rename it if it is not .gz."
        ) from error
    except OSError as error:
        raise UserError(
            f"{name} could not be read: {error.strerror or error}.", "Check the file."
        ) from error


def _decode(
    decoder: codecs.IncrementalDecoder,
    chunk: bytes,
    consumed: int,
    encoding: str,
    name: str,
    final: bool = False,
) -> str:
    try:
        text = decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        # The decoder may still have held bytes of the chunk before: count from the end.
        offset = consumed - len(error.object) + error.start
        if b"\0" in chunk[:8192] and "16" not in encoding and "32" not in encoding:
            raise _binary(name) from None
        raise UserError(
            f"{name} is not {encoding}: byte {offset} ({error.object[error.start]:#04x}): "
            f"{error.reason}.",
            "Name its encoding, for example --encoding latin-1.",
        ) from error
    if "\0" in text:
        raise _binary(name)
    return text


def _binary(name: str) -> UserError:
    return UserError(
        f"{name} is binary (it holds NUL bytes), not text.",
        "Name text files; in a folder leave others out: --reader-option exclude='*.png,*.zip'.",
    )


def _below(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder, onerror=_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(root, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _unreadable(error: OSError) -> None:
    raise UserError(
        f"The folder {error.filename} could not be read: {error.strerror}.",
        "Check its permissions.",
    ) from error


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix() if folder.parts else file.as_posix()


def _patterns(words: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in words.split(",") if word.strip())


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    base = name.rpartition("/")[2]
    return any(fnmatchcase(name, p) or fnmatchcase(base, p) for p in patterns)
