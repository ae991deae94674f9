"""Lists and details: quiet tables on a terminal, tab-separated lines or JSON for programs.

In a pipe a cell is what it is, but that its tabs and line ends, which would break the line, are
written as ``\\t``, ``\\n`` and ``\\r``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from textgen.screen import console
from textgen.screen.safe import is_hidden, one_line

_NUMBER = re.compile(r"[-+]?\d[\d,.]*( ?[A-Za-z%]{1,2})?|\?|-|")
"""Counts, losses and sizes, or nothing: a column of them is set to the right."""

_GAP = 2
"""Columns between two columns."""

_NARROWEST = 16
"""Columns a wrapping column needs to be readable."""

_BREAKS = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """A table on standard output; numbers to the right. In a pipe, tab-separated lines without a
    heading. ``empty`` is said on standard error where there are no rows."""
    lines = [list(row) for row in rows]
    if not lines:
        console.show_notice(empty)
        return
    if not console.is_terminal(console.stdout()):
        for line in lines:
            put_row(line)
        return
    _draw_table(columns, [[one_line(cell) for cell in line] for line in lines])


def show_details(details: Mapping[str, str]) -> None:
    """Names and values, aligned; in a pipe, a name, a tab and a value a line."""
    if not console.is_terminal(console.stdout()):
        for name, value in details.items():
            put_row([name, value])
        return
    if not details:
        return
    _draw_details(details)


def put_row(cells: Iterable[str]) -> None:
    """A line for programs: the cells as they are, with tabs between them."""
    _put("\t".join(cell.translate(_BREAKS) for cell in cells))


def show_json(value: Any) -> None:
    """One JSON object on a line of standard output.

    Readable text stays readable; whatever a terminal might obey is written as ``\\uXXXX``. JSON has
    no infinities: a number that is not finite becomes null.
    """
    _put(json_line(value))


def json_line(value: Any) -> str:
    """``value`` as one line of JSON, as ``show_json`` writes it."""
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)
    # outside of its strings JSON is plain ASCII, so every hidden character stands in a string
    return text if text.isascii() and text.isprintable() else "".join(map(_json_escape, text))


def _json_escape(character: str) -> str:
    # json.dumps with ensure_ascii writes astral characters as pairs
    return json.dumps(character)[1:-1] if is_hidden(character) else character


def _finite(value: Any) -> Any:
    """``value`` in JSON's own types: numbers of numpy become numbers, paths strings."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    return str(value)


def _draw_table(columns: Sequence[str], lines: list[list[str]]) -> None:
    """Texts after the first column wrap, the widest first; where there is no room for that, each
    row becomes a small list of its own."""
    from rich.cells import cell_len

    widths = [max(cell_len(cell) for cell in cells) for cells in zip(columns, *lines, strict=True)]
    room = console.output().width - _GAP * (len(columns) - 1)
    if sum(widths) > room:  # headings break between words first
        broken = (max(heading.split(" "), key=cell_len) for heading in columns)
        widths = [
            max(cell_len(cell) for cell in cells) for cells in zip(broken, *lines, strict=True)
        ]
    numeric = [
        any(line[i] for line in lines) and all(_NUMBER.fullmatch(line[i]) for line in lines)
        for i in range(len(columns))
    ]
    over = sum(widths) - room
    wrapping = [i for i in range(1, len(columns)) if not numeric[i] and widths[i] > _NARROWEST]
    if over > sum(widths[i] - _NARROWEST for i in wrapping):
        _draw_cards(columns, lines)
        return
    for _ in range(over):
        widths[max(wrapping, key=widths.__getitem__)] -= 1
    _draw_columns(columns, lines, widths, numeric)


def _draw_columns(
    columns: Sequence[str], lines: list[list[str]], widths: list[int], numeric: list[bool]
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, _GAP - 1, 0, 0),  # the box adds one
        pad_edge=False,
        show_edge=False,
        header_style="dim",
        border_style="bright_black",
    )
    for column, width, is_numeric in zip(columns, widths, numeric, strict=True):
        justify: Literal["left", "right"] = "right" if is_numeric else "left"
        table.add_column(column, width=width, justify=justify, overflow="fold")
    for first, *rest in lines:
        table.add_row(Text(first, style="bold"), *map(Text, rest))
    console.output().print(table)


def _draw_cards(columns: Sequence[str], lines: list[list[str]]) -> None:
    from rich.text import Text

    for number, (first, *rest) in enumerate(lines):
        if number:
            console.output().print()
        console.output().print(Text(first, style="bold", overflow="fold"))
        _draw_details(
            {name: cell for name, cell in zip(columns[1:], rest, strict=True) if cell}, indent=2
        )


def _draw_details(details: Mapping[str, str], *, indent: int = 0) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in details.items():
        grid.add_row(Text(one_line(name), style="dim"), Text(one_line(value)))
    console.output().print(Padding(grid, (0, 0, 0, indent)))


def _put(line: str) -> None:
    console.stdout().write(line + "\n")
    console.stdout().flush()
