"""What the readers of table files share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from textgen.contracts.reader import Document, Reader
from textgen_datasets.addresses import SCHEMES, Address
from textgen_datasets.rows import RowOptions, Texts

if TYPE_CHECKING:
    import pyarrow


class TableReader(Reader):
    """A reader whose documents are the rows of files."""

    Options = RowOptions
    schemes = SCHEMES
    records = True
    options: RowOptions

    def __init__(self, source: str, options: RowOptions) -> None:
        super().__init__(source, options)
        self._address = Address(source, self.suffixes)

    def documents(self) -> Iterator[Document]:
        for file in self._address.files:
            with self._address.explained(file.name), self._address.open(file) as opened:
                texts, batches = self.table(opened, file.name)
                yield from texts.documents(batches, file.name)

    @abstractmethod
    def table(self, file: IO[bytes], name: str) -> tuple[Texts, Iterator[pyarrow.RecordBatch]]:
        """What is read of one file, and its rows, a batch at a time."""

    def fingerprint(self) -> str:
        return self._address.fingerprint()

    def size(self) -> int | None:
        return self._address.size()
