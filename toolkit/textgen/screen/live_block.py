"""A block of lines at the end of a terminal, renewed in place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from rich.console import ConsoleRenderable, Group, RenderableType
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType, Segment

from textgen.screen.console import catches_prints

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_A_SECOND = 4

_BEGIN_STROKE = "\x1b[?2026h"
_CUT_LINES = "\x1b[?7l"
_BREAK_LINES_END_STROKE = "\x1b[?7h\x1b[?2026l"
"""Synchronized output and automatic breaks (DECAWM); a terminal without the first ignores it."""


class Frame(Protocol):
    """What is drawn."""

    def rows(self, width: int, height: int) -> list[Text]:
        """Lines of at most ``width`` columns, fewer than ``height``."""
        ...


class LiveBlock(Live):
    """rich's Live, that is drawn at one stroke and survives a window made narrower.

    A terminal then breaks the lines drawn before over more rows than Live knows of, which would be
    left behind; they are counted here and taken away first. A terminal may do so before it tells
    the new width: the block is drawn without automatic breaks, so that what is drawn in between
    adds none that are not counted.
    """

    def __init__(self, frame: Frame, console: Console) -> None:
        self._frame = frame
        self._drawn_width = 0
        self._drawn_lengths: list[int] = []
        super().__init__(
            console=console,
            refresh_per_second=_A_SECOND,
            redirect_stdout=catches_prints(),
            vertical_overflow="crop",
        )
        self._drawn_lengths = []  # Live asks for the frame once, and draws nothing yet

    def get_renderable(self) -> RenderableType:
        """The frame's rows in today's width; one column is left free, for terminals that wrap a
        line as soon as it is full."""
        width = self.console.width
        rows = self._frame.rows(width - 1, self.console.height)
        self._drawn_width, self._drawn_lengths = width, [row.cell_len for row in rows]
        return Group(*rows)

    def refresh(self) -> None:
        """Draws the block anew."""
        with self._lock:
            width = self.console.width
            if 0 < width < self._drawn_width:
                self._take_away_broken_rows(width)
            super().refresh()

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Puts the block below whatever is printed."""
        *above, block = super().process_renderables(renderables)
        return [_raw(_BEGIN_STROKE), *above, _raw(_CUT_LINES), block, _raw(_BREAK_LINES_END_STROKE)]

    def _take_away_broken_rows(self, width: int) -> None:
        broken = sum(max(0, math.ceil(n / width) - 1) for n in self._drawn_lengths)
        up = ((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)) * broken
        self.console.control(
            Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2), *up)
        )


def _raw(codes: str) -> Control:
    """Codes that rich has no name for; as a control, they take no room in its layout."""
    control = Control()
    control.segment = Segment(codes, None, [(ControlType.CARRIAGE_RETURN,)])
    return control
