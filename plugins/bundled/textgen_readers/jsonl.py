"""JSON lines: one object a line, of which a field or a template is the document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textgen.contracts.errors import UserError
from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.reader import Reader
from textgen_readers.records import RecordReader, chooser, lacking

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class JsonLinesOptions:
    field: str = option("text", "the field that holds the text")
    template: str = option("", "a text with fields in braces, instead: {school}|{name}")
    encoding: str = option("utf-8", "encoding of the files, any name that Python knows")


class JsonLines(RecordReader):
    """One JSON object a line; empty lines are passed over."""

    Options = JsonLinesOptions
    suffixes = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
    options: JsonLinesOptions

    def texts(self, name: str, path: Path) -> Iterator[tuple[int, str]]:
        choose = chooser(self.options.field, self.options.template)
        for number, line in enumerate(self.lines(name, path), start=1):
            if not line.strip():
                continue
            record = _parse(line, f"{name}, line {number}")
            try:
                yield number, choose(record)
            except KeyError as error:
                raise lacking(error.args[0], f"{name}, line {number},", record) from None


def _parse(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON: {error}.", "Each line is one object.") from error
    if not isinstance(record, dict):
        raise UserError(
            f"{where} is not a JSON object.", 'Each line looks like {"text": "a document"}.'
        )
    return record


@hookimpl
def textgen_readers() -> dict[str, type[Reader]]:
    return {"jsonl": JsonLines}
