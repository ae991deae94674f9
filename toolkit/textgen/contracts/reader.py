"""The contract of a corpus reader: a source becomes documents of text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from textgen.contracts.options import NoOptions


@dataclass(frozen=True)
class Document:
    """A text that stands for itself: a file, a line, a record.

    ``pieces`` join to the text; each is a moderate string (about a megabyte at most), read when it
    is asked for. ``split`` is ``train``, ``validation`` or ``test`` where the source says so.
    """

    name: str
    pieces: Iterable[str]
    split: str | None = None


class Reader(ABC):
    """Reads one source, never holding a whole file in memory.

    Raises UserError where the source is missing or cannot be decoded; a decoding error names the
    file and the byte offset.
    """

    Options: ClassVar[type] = NoOptions
    schemes: ClassVar[tuple[str, ...]] = ()
    """Prefixes of the sources it reads, without ``:``, e.g. ``("s3",)``."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    """File endings it reads, with their dot, in lower case, e.g. ``(".csv", ".csv.gz")``."""

    records: ClassVar[bool] = False
    """Whether its documents are records (lines, rows) rather than files of running text. A model
    of records writes one and ends it."""

    def __init__(self, source: str, options: Any) -> None:
        self.source = source
        self.options = options

    @abstractmethod
    def documents(self) -> Iterator[Document]:
        """The documents in a fixed order. Each call starts again from the first."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A short text that changes when the source does. Cheap: paths, sizes and times."""

    @abstractmethod
    def size(self) -> int | None:
        """Bytes to be read, for progress bars; None where it cannot be known."""
