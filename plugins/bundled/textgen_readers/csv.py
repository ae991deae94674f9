"""Tables: one row a document, as comma-separated (csv) or tab-separated (tsv) values."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from textgen.contracts.errors import UserError
from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.reader import Reader
from textgen_readers.records import RecordReader, chooser, lacking

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class TableOptions:
    field: str = option("", "the column of the text; empty: the one named text, else the first")
    template: str = option("", "a text with columns in braces, instead: {school}|{name}")
    delimiter: str = option("", "what stands between values; empty: a comma, or a tab for tsv")
    encoding: str = option("utf-8", "encoding of the files, any name that Python knows")


class Csv(RecordReader):
    """One row a document, of a table whose first row names the columns."""

    Options = TableOptions
    suffixes = (".csv", ".csv.gz")
    separator = ","
    options: TableOptions

    def __init__(self, source: str, options: TableOptions) -> None:
        super().__init__(source, options)
        delimiter = options.delimiter.replace("\\t", "\t") or self.separator
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise UserError(
                f"The delimiter {options.delimiter!r} is not one plain character.",
                "Write for example --reader-option delimiter=';'.",
            )
        self._delimiter = delimiter

    def texts(self, name: str, path: Path) -> Iterator[tuple[int, str]]:
        csv.field_size_limit(1 << 26)
        ended = (line + "\n" for line in self.lines(name, path))
        rows = csv.reader(ended, delimiter=self._delimiter)
        columns: list[str] | None = None
        choose = chooser(self.options.field, self.options.template)
        try:
            for row in rows:
                if not row:
                    continue
                if columns is None:
                    columns = row
                    usual = "text" if "text" in row else row[0]
                    choose = chooser(self.options.field or usual, self.options.template)
                    continue
                yield rows.line_num, choose(dict(zip(columns, row, strict=False)))
        except KeyError as error:
            where = f"{name}, line {rows.line_num},"
            raise lacking(error.args[0], where, columns or ()) from None
        except csv.Error as error:
            raise UserError(
                f"{name}, line {rows.line_num}, is not a table row: {error}.",
                "Check its quotes and the delimiter.",
            ) from error


class Tsv(Csv):
    """One row a document, of a tab-separated table whose first row names the columns."""

    suffixes = (".tsv", ".tsv.gz")
    separator = "\t"


@hookimpl
def textgen_readers() -> dict[str, type[Reader]]:
    return {"csv": Csv, "tsv": Tsv}
