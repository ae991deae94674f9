"""Running text: one document a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.reader import Document, Reader
from textgen_readers.files import Source, check_encoding, read_text

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class TextOptions:
    encoding: str = option("utf-8", "encoding of the files, any name that Python knows")
    include: str = option("", "files of a folder to read, as patterns: *.py,*.md; empty: all")
    exclude: str = option("", "files of a folder to leave out, as patterns")


class Text(Reader):
    """A text file, a folder or a glob of them, or standard input; gzip is unpacked.

    A folder is read in the sorted order of its paths; hidden files are passed over. A byte order
    mark is dropped and CRLF becomes LF.
    """

    Options = TextOptions
    suffixes = (".txt", ".text", ".md", ".txt.gz", ".gz")
    options: TextOptions

    def __init__(self, source: str, options: TextOptions) -> None:
        super().__init__(source, options)
        check_encoding(options.encoding)
        self._files = Source(source, options.include, options.exclude)

    def documents(self) -> Iterator[Document]:
        for name, path in self._files.files():
            yield Document(name, read_text(path, self.options.encoding, name))

    def fingerprint(self) -> str:
        return self._files.fingerprint()

    def size(self) -> int | None:
        return self._files.size()


@hookimpl
def textgen_readers() -> dict[str, type[Reader]]:
    return {"text": Text}
