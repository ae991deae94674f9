"""Arrow files: the IPC file format, which Feather is, and the IPC stream format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from textgen.contracts.hooks import hookimpl
from textgen.contracts.reader import Reader
from textgen_datasets.files import TableReader
from textgen_datasets.rows import Texts, choose_texts

if TYPE_CHECKING:
    import pyarrow

TEXTGEN_CONTRACT = 1

_FILE = b"ARROW1"  # what the file format begins with


class Arrow(TableReader):
    """Arrow IPC or Feather: a file, a folder or a glob, here or at an address such as
    s3://bucket/texts/.

    One row a document. A batch of the file is held at a time, as it was written.
    """

    suffixes = (".arrow", ".feather", ".ipc", ".arrows")

    def table(self, file: IO[bytes], name: str) -> tuple[Texts, Iterator[pyarrow.RecordBatch]]:
        from pyarrow import ipc

        is_file = file.read(len(_FILE)) == _FILE
        file.seek(0)
        schema = (ipc.open_file if is_file else ipc.open_stream)(file).schema
        file.seek(0)
        texts = choose_texts(self.options, schema, name)
        chosen = [schema.get_field_index(column) for column in texts.columns]
        options = ipc.IpcReadOptions(included_fields=chosen)
        if not is_file:
            return texts, iter(ipc.open_stream(file, options=options))
        reader = ipc.open_file(file, options=options)
        return texts, (reader.get_batch(number) for number in range(reader.num_record_batches))


@hookimpl
def textgen_readers() -> dict[str, type[Reader]]:
    return {"arrow": Arrow}
