"""The files that a source means, here or at an address of fsspec."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

from textgen.contracts.errors import UserError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

SCHEMES = (
    *("file", "memory", "zip", "tar", "http", "https", "ftp", "sftp", "ssh", "smb", "hdfs"),
    *("webhdfs", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "github"),
)
"""What fsspec, or a distribution that it names, reads."""

_MAGIC = "*?["


@dataclass(frozen=True)
class File:
    """One file: its name for people, and where it is."""

    name: str
    path: str


class Address:
    """A file, a folder or a glob; ``suffixes`` choose among the files of a folder.

    Other packages may be needed for an address, as s3fs is for s3://. Raises UserError where one is
    missing, and for what is not there or cannot be read.
    """

    def __init__(self, source: str, suffixes: tuple[str, ...]) -> None:
        self._source = source
        self._suffixes = suffixes

    @cached_property
    def _place(self) -> tuple[AbstractFileSystem, str]:
        from fsspec.core import url_to_fs

        with self.explained():
            try:
                system, path = url_to_fs(self._source)
            except ImportError as error:
                raise UserError(
                    f"{self._source.partition('://')[0]}:// needs a package that is not here: "
                    f"{error}.",
                    "Install it, or download the file first.",
                ) from None
            except ValueError as error:
                raise UserError(f"{self._source} is no address: {error}.", "Check it.") from None
            return system, path

    @cached_property
    def files(self) -> list[File]:
        """In the order of their names."""
        system, path = self._place
        with self.explained():
            if any(mark in path for mark in _MAGIC) and not system.exists(path):
                found = [name for name in system.glob(path) if not system.isdir(name)]
            elif system.isdir(path):
                found = [name for name in system.find(path) if self._reads(name)]
            else:
                system.info(path)
                found = [path]
        if not found:
            raise UserError(f"{self._source} holds no {self._suffixes[0]} file.", "Check it.")
        folder = path.rstrip("/") + "/" if len(found) > 1 and system.isdir(path) else ""
        return [
            File(name[len(folder) :] if folder else name.rpartition("/")[2], name)
            for name in sorted(found)
        ]

    def open(self, file: File) -> IO[bytes]:
        """The file for reading, a block at a time."""
        system, _ = self._place
        opened: IO[bytes] = system.open(file.path, "rb")
        return opened

    def fingerprint(self) -> str:
        """Changes with the names of the files and what their place tells of them: sizes, times,
        tags."""
        system, _ = self._place
        with self.explained():
            facts = [(file.name, system.ukey(file.path)) for file in self.files]
        return hashlib.sha256(repr(facts).encode("utf-8", "surrogateescape")).hexdigest()

    def size(self) -> int | None:
        """Bytes of all files, as they are stored."""
        system, _ = self._place
        with self.explained():
            sizes: list[Any] = [system.size(file.path) for file in self.files]
        return None if None in sizes else sum(sizes)

    @contextlib.contextmanager
    def explained(self, name: str = "") -> Iterator[None]:
        """What the place or the file's format answers, as errors for people."""
        try:
            yield
        except UserError:
            raise
        except FileNotFoundError:
            raise UserError(
                f"There is no file or folder {self._source}.", "Check the address."
            ) from None
        except (OSError, ValueError) as error:  # pyarrow's are among them
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UserError(
                f"{name or self._source} could not be read: {lines[0].rstrip('.')}.",
                "Check it, and that it is what its name says.",
            ) from None

    def _reads(self, name: str) -> bool:
        base = name.rpartition("/")[2]
        return base.lower().endswith(self._suffixes) and not base.startswith((".", "_"))
