"""Lists and details: quiet tables on a terminal, tab-separated or JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from textgen.screen import console
from textgen.screen.safe import one_line


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """A table on standard output; numbers to the right. In a pipe, tab-separated lines without a
    heading. ``empty`` is said on standard error where there are no rows."""
    lines = [[one_line(cell) for cell in row] for row in rows]
    if not lines:
        console.show_notice(empty)
        return
    if not sys.stdout.isatty():
        for line in lines:
            print("\t".join(line))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    for index, column in enumerate(columns):
        numeric = all(line[index][:1].isdigit() or not line[index] for line in lines)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for line in lines:
        first, *rest = line
        table.add_row(Text(first, style="bold"), *(Text(cell) for cell in rest))
    console.output().print(table)


def show_details(details: Mapping[str, str]) -> None:
    """Names and values, aligned."""
    width = max(map(len, details), default=0)
    for name, value in details.items():
        text = one_line(value)
        if sys.stdout.isatty():
            from rich.text import Text

            console.output().print(Text.assemble((f"{name:<{width}}  ", "dim"), text))
        else:
            print(f"{name}\t{text}")


def show_json(value: Any) -> None:
    """One JSON object on a line of standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=True, default=str) + "\n")
    sys.stdout.flush()
