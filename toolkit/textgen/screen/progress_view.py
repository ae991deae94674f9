"""How far a download or a packing has come, on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from textgen.screen import console, figures
from textgen.screen.bar import bar_of

if TYPE_CHECKING:
    from rich.text import Text

_QUIET = 0.5
"""Seconds before anything is shown: what is quick needs no bar."""

_LINES_EVERY = 10.0
_DRAWN_EVERY = 0.1
_MOST_BAR = 30
_FEWEST_BAR = 8


class ProgressView:
    """A bar on a terminal, a line every ten seconds elsewhere. Call it with a stage, what is done
    of it in bytes or characters, and the total where it is known.

    The bar is one line, gone when the block ends; a stage that took long enough to be shown leaves
    one line that says how much it was and how long it took.
    """

    def __init__(self) -> None:
        self._stage = ""
        self._began = self._line_told = self._drawn = time.monotonic()
        self._done = self._done_at_start = 0
        self._total: int | None = None
        self._shown = False

    def __enter__(self) -> ProgressView:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end_stage(whole=kind is None)

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._end_stage(whole=True)
            self._stage, self._began, self._line_told = stage, now, now
            self._done_at_start = done  # what an earlier download left is not this one's speed
        self._done, self._total = done, total
        if now - self._began < _QUIET:
            return
        if console.lively(sys.stderr):
            self._draw(now)
        elif now - self._line_told >= _LINES_EVERY:
            self._line_told, self._shown = now, True
            console.say(f"{stage}: {', '.join(self._facts(now))}")

    def _draw(self, now: float) -> None:
        if self._shown and now - self._drawn < _DRAWN_EVERY:
            return
        self._shown, self._drawn = True, now
        console.draw_line(self._line(now, console.errors().width - 1))

    def _line(self, now: float, width: int) -> Text:
        """Stage, bar and facts; where there is little room, fewer facts and no bar."""
        from rich.text import Text

        facts = self._facts(now)
        while len(facts) > 1 and len(self._stage) + len("  ".join(facts)) + 5 > width:
            facts.pop()
        line = Text.assemble((self._stage, "bold"), "   ")
        told = "   ".join(facts)
        bar = min(_MOST_BAR, width - len(line.plain) - len(told) - 3)
        if self._total and bar >= _FEWEST_BAR:
            line.append_text(bar_of(self._done / self._total, bar))
            line.append("   ")
        return line.append(told)

    def _facts(self, now: float) -> list[str]:
        done, total = self._amount(self._done), self._total
        speed = (self._done - self._done_at_start) / max(now - self._began, 1e-9)
        facts = [f"{done} of {self._amount(total)}" if total else done, f"{self._amount(speed)}/s"]
        if total and speed > 0:
            facts.append(f"{figures.duration((total - self._done) / speed)} left")
        return facts

    def _amount(self, number: float) -> str:
        """Bytes of what comes from outside, else characters."""
        if self._stage in ("downloading", "reading"):
            return figures.size(number)
        return f"{figures.count(number)} characters"

    def _end_stage(self, *, whole: bool) -> None:
        if not self._shown:
            return
        self._shown = False
        console.clear_line()
        if whole:
            took = figures.duration(time.monotonic() - self._began)
            console.show_notice(f"{self._stage}: {self._amount(self._done)} in {took}")
