"""Lists: one document a line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.reader import Reader
from textgen_readers.records import RecordReader

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class LinesOptions:
    encoding: str = option("utf-8", "encoding of the files, any name that Python knows")


class Lines(RecordReader):
    """One document a line, without its end; empty lines are passed over."""

    Options = LinesOptions

    def texts(self, name: str, path: Path) -> Iterator[tuple[int, str]]:
        yield from enumerate(self.lines(name, path), start=1)


@hookimpl
def textgen_readers() -> dict[str, type[Reader]]:
    return {"lines": Lines}
