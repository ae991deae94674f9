"""Rules that were tried: a line each as they come, with the numbers.

In a pipe a line is ``passed`` or ``failed`` (of promises beyond the rules ``promised`` or ``not
promised``), the rule, the numbers, and the usual cause, tabs between them.
"""

from __future__ import annotations

from textgen.screen import console
from textgen.screen.safe import one_line
from textgen.screen.tables import put_row


def show_rule(rule: str, found: str, cause: str, *, holds: bool, promise: bool) -> None:
    """A rule with what was ``found``; ``cause`` tells what usually breaks it."""
    if not console.is_terminal(console.stdout()):
        put_row([_word(holds, promise), rule, found, *([cause] if cause else [])])
        return
    from rich.table import Table
    from rich.text import Text

    mark = Text(_mark(holds, promise), style=_style(holds, promise))
    told = Text.assemble(
        f"{_word(holds, promise)}: " if promise else "",
        (one_line(rule), "" if holds or promise else "bold"),
        "  ",
        (one_line(found), "dim" if holds or promise else ""),
    )
    if cause:
        told.append(f"\n{'' if promise else 'usual cause: '}{one_line(cause)}", style="yellow")
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(mark, told)
    console.output().print(grid)


def _mark(holds: bool, promise: bool) -> str:
    if console.ascii_only(console.stdout()):
        return "+" if holds else "-" if promise else "X"
    return "\u2713" if holds else "-" if promise else "\u2717"


def _word(holds: bool, promise: bool) -> str:
    if promise:
        return "promised" if holds else "not promised"
    return "passed" if holds else "failed"


def _style(holds: bool, promise: bool) -> str:
    if holds:
        return "green"
    return "dim" if promise else "bold red"
