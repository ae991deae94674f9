"""Texts out of archives: never a path outside of the folder, never more than a bound."""

from __future__ import annotations

import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

from textgen.corpus.download import FetchError

LARGEST = 4 << 30
"""Bytes that the texts of one corpus unpack to at most."""

MOST_FILES = 200_000
_CHUNK = 1 << 20
_DECODERS = (EOFError, zlib.error, lzma.LZMAError)


def wanted(name: str, members: tuple[str, ...], exclude: tuple[str, ...]) -> bool:
    """Whether a member is asked for. ``*`` matches ``/`` too."""
    if members and not any(fnmatchcase(name, pattern) for pattern in members):
        return False
    return not any(fnmatchcase(name, pattern) for pattern in exclude)


def texts(
    archive: Path, name: str, members: tuple[str, ...], exclude: tuple[str, ...]
) -> Iterator[tuple[str, IO[bytes]]]:
    """The wanted regular files in a zip or tar archive, or the file itself, named ``name``.

    Links and devices are passed over. A ``.gz`` among them is unpacked, and loses the ending. Each
    file is to be read before the next is asked for. Raises FetchError for a wanted member whose
    name leads out of the folder; read inside ``damage_explained``.
    """
    if zipfile.is_zipfile(archive):
        found = _zipped(archive, members, exclude)
    elif tarfile.is_tarfile(archive):
        found = _tarred(archive, members, exclude)
    else:
        found = _single(archive, name)
    for number, (member, file) in enumerate(found):
        if number >= MOST_FILES:
            raise FetchError(f"{name} holds more than {MOST_FILES} files.", "Choose members.")
        _check_name(member, name)
        with _unpacked(member, file) as (plain, content):
            yield plain, content


@contextmanager
def damage_explained(name: str) -> Iterator[None]:
    """Turns what the unpackers raise about a damaged archive into a FetchError."""
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, *_DECODERS) as error:
        raise FetchError(
            f"{name} is a damaged archive: {error}.", "Fetch or make it again."
        ) from error


def copy(file: IO[bytes], target: Path, room: int) -> int:
    """Writes what ``file`` holds to ``target``, a new file. At most ``room`` bytes; how many."""
    size = 0
    with target.open("xb") as out:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            check_room(size, room)
            out.write(chunk)
    return size


def check_room(size: int, room: int) -> None:
    """Raises FetchError where ``size`` bytes are more than there is room for."""
    if size > room:
        raise FetchError(
            f"The archive unpacks to more than {LARGEST} bytes.", "It cannot be a corpus."
        )


def _zipped(
    archive: Path, members: tuple[str, ...], exclude: tuple[str, ...]
) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            mode = info.external_attr >> 16
            plain = not info.is_dir() and (not stat.S_IFMT(mode) or stat.S_ISREG(mode))
            if plain and wanted(info.filename, members, exclude):
                try:
                    file = opened.open(info)
                except (RuntimeError, NotImplementedError) as error:
                    raise FetchError(
                        f"{info.filename} cannot be unpacked: {error}.", "Choose other members."
                    ) from error
                with file:
                    yield info.filename, file


def _tarred(
    archive: Path, members: tuple[str, ...], exclude: tuple[str, ...]
) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive, "r:*") as opened:
        for info in opened:
            if info.isreg() and wanted(info.name, members, exclude):
                file = opened.extractfile(info)
                assert file is not None
                with file:
                    yield info.name, file


def _single(archive: Path, name: str) -> Iterator[tuple[str, IO[bytes]]]:
    with archive.open("rb") as file:
        yield name, file


@contextmanager
def _unpacked(member: str, file: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    if not member.endswith(".gz"):
        yield member, file
        return
    with gzip.open(file) as plain:
        yield member.removesuffix(".gz"), plain  # type: ignore[misc]


def _check_name(member: str, archive: str) -> None:
    parts = PurePosixPath(member).parts
    strange = any(ord(c) < 32 or c in '\\:*?"<>|' for c in member)
    if not parts or member.startswith("/") or ".." in parts or strange:
        raise FetchError(
            f"{archive} holds a file named {member!r}, which leads out of its folder.",
            "The archive cannot be trusted.",
        )
