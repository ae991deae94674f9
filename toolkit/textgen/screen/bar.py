"""A bar that fills."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from textgen.screen import console

if TYPE_CHECKING:
    from rich.text import Text


def bar_of(share: float, width: int) -> Text:
    """A bar of ``width`` columns, ``share`` (0 to 1) of it done."""
    from rich.text import Text

    halves = round(2 * width * min(1.0, max(0.0, share)))
    if console.ascii_only(sys.stderr):
        full, half, rest = "=", "-", " "
    else:
        full, half, rest = "━", "╸", "━"
    done = full * (halves // 2) + half * (halves % 2)
    return Text.assemble((done, "cyan"), (rest * (width - len(done)), "bright_black"))
