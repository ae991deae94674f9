"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from textgen.contracts.hooks import hookimpl
from textgen.contracts.reader import Reader
from textgen_datasets.files import TableReader
from textgen_datasets.rows import BATCH_BYTES, BATCH_ROWS, Texts, choose_texts

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ParquetFile

TEXTGEN_CONTRACT = 1

_BUFFER = 1 << 20  # bytes read at a time, of each column


class Parquet(TableReader):
    """Parquet: a file, a folder or a glob, here or at an address such as s3://bucket/texts/.

    One row a document. Only the columns that are asked for are read.
    """

    suffixes = (".parquet", ".pq")

    def table(self, file: IO[bytes], name: str) -> tuple[Texts, Iterator[pyarrow.RecordBatch]]:
        from pyarrow.parquet import ParquetFile

        opened = ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)
        texts = choose_texts(self.options, opened.schema_arrow, name)
        rows = _rows_at_once(opened, texts.columns)
        return texts, opened.iter_batches(rows, columns=list(texts.columns), use_threads=False)


def _rows_at_once(file: ParquetFile, columns: tuple[str, ...]) -> int:
    """As many as are a moderate size together, by what the file tells of itself."""
    metadata = file.metadata
    size = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        chunks = (group.column(n) for n in range(group.num_columns))
        size += sum(
            chunk.total_uncompressed_size
            for chunk in chunks
            if chunk.path_in_schema.partition(".")[0] in columns
        )
    average = size / max(1, metadata.num_rows)
    return min(BATCH_ROWS, max(1, int(BATCH_BYTES / max(1.0, average))))


@hookimpl
def textgen_readers() -> dict[str, type[Reader]]:
    return {"parquet": Parquet}
