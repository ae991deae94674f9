"""Rows of a table as documents: one column, or a template of several.

A batch of rows is the most that is held. pyarrow is imported where it is needed: every reader is
asked for its endings, whichever is meant.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textgen.contracts.errors import UserError
from textgen.contracts.options import option
from textgen.contracts.reader import Document

if TYPE_CHECKING:
    import pyarrow

BATCH_BYTES = 4 << 20
"""What a batch of rows should have at most."""

BATCH_ROWS = 1024
"""How many rows become Python's strings at a time."""

_PIECE = 1 << 20  # characters


@dataclass(frozen=True)
class RowOptions:
    field: str = option(
        "", "the column that holds the text; empty: text, or the only one of strings"
    )
    template: str = option("", "a text with columns in braces, instead: {title}: {body}")


@dataclass(frozen=True)
class Texts:
    """Which columns of a table are read, and the text of each row of them."""

    columns: tuple[str, ...]
    of_row: Callable[[Sequence[Any]], str]

    def documents(
        self, batches: Iterator[pyarrow.RecordBatch], name: str, split: str | None = None
    ) -> Iterator[Document]:
        """The rows of ``batches``, in their order; empty ones are passed over. Raises UserError for
        what is not UTF-8."""
        number = 0
        for batch in batches:
            for first in range(0, batch.num_rows, BATCH_ROWS):
                part = batch.slice(first, BATCH_ROWS)
                try:
                    values = [part.column(column).to_pylist() for column in self.columns]
                except UnicodeDecodeError as error:
                    raise UserError(
                        f"{name}, row {number + 1} or one after it, is not utf-8: {error.reason}.",
                        "Convert the column to utf-8.",
                    ) from None
                for row in zip(*values, strict=True):
                    number += 1
                    if text := self.of_row(row):
                        yield Document(f"{name}:{number}", _pieces(text), split)


def choose_texts(options: RowOptions, schema: pyarrow.Schema, name: str) -> Texts:
    """What the options choose of a table. Raises UserError for a column that it lacks."""
    if options.template:
        parts = _parse(options.template)
        columns = tuple(dict.fromkeys(column for _, column in parts if column is not None))
        places = [(before, None if c is None else columns.index(c)) for before, c in parts]

        def fill(row: Sequence[Any]) -> str:
            return "".join(
                before + ("" if place is None else _text_of(row[place])) for before, place in places
            )

        texts = Texts(columns, fill)
    else:
        texts = Texts((options.field or _only_text(schema, name),), lambda row: _text_of(row[0]))
    if lacking := [column for column in texts.columns if column not in schema.names]:
        raise _choose(f"{name} has no column {lacking[0]!r}.", schema.names)
    return texts


def _only_text(schema: pyarrow.Schema, name: str) -> str:
    import pyarrow

    kinds = (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view())
    strings = [
        field.name
        for field in schema
        if field.type in kinds
        or (pyarrow.types.is_dictionary(field.type) and field.type.value_type in kinds)
    ]
    if "text" in strings or len(strings) == 1:
        return "text" if "text" in strings else strings[0]
    what = f"{len(strings)} columns of strings" if strings else "no column of strings"
    raise _choose(f"{name} has {what}, and none named text.", strings or schema.names)


def _choose(problem: str, columns: Sequence[str]) -> UserError:
    listing = ", ".join(columns) or "none"
    return UserError(
        problem, f"It has: {listing}. Choose with --field NAME or --template '{{NAME}}'."
    )


def _parse(template: str) -> list[tuple[str, str | None]]:
    """What stands before each column, and its name; last what stands behind all, if anything."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UserError(
            f"The template {template!r} cannot be read: {error}.",
            "Write columns as {name}, and a brace as {{ or }}.",
        ) from None
    if any(name == "" or form or conversion for _, name, form, conversion in parts):
        raise UserError(
            f"The template {template!r} may only name columns.", "Write columns as {name}."
        )
    return [(before, name) for before, name, _, _ in parts]


def _text_of(value: Any) -> str:
    """Strings as they are, null empty, bytes as UTF-8, other values as Python writes them."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pieces(text: str) -> tuple[str, ...]:
    return tuple(text[i : i + _PIECE] for i in range(0, len(text), _PIECE))
