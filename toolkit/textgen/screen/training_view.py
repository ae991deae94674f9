"""What a person sees of a training: losses, speed, time left, a curve, and the newest sample."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from textgen.screen import console, figures
from textgen.screen.safe import visible
from textgen.screen.training_frame import TrainingFrame, sample_rows, status_line

if TYPE_CHECKING:
    from rich.text import Text

_LINES_EVERY = 10.0
_LINES_SELDOM = 300.0
"""Seconds between plain lines: the first at the start, the second after hours."""

_SUMMARY_ROWS = 5
"""Rows of each sample at the end."""


class TrainingView:
    """A block that renews itself four times a second on a terminal; plain lines elsewhere.

    What others write to standard error meanwhile appears above the block. However the view ends,
    the block shrinks to its figures and the cursor is back.
    """

    def __init__(self) -> None:
        self._frame = TrainingFrame()
        self._live: Any = None
        self._pace = LinePace()

    def __enter__(self) -> TrainingView:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the last figures on the screen and gives the terminal back."""
        if self._live is not None:
            self._frame.closed = True
            live, self._live = self._live, None
            live.stop()

    def started(self, title: str, plan: str, steps: int) -> None:
        """``title`` says what is trained, ``plan`` what the budget will do."""
        self._frame.steps = steps
        console.say(title)
        console.show_notice(plan)
        if console.lively(sys.stderr):
            from textgen.screen.live_block import LiveBlock

            self._live = LiveBlock(self._frame, console.errors())
            self._live.start()

    def progress(
        self,
        *,
        step: int,
        loss: float,
        characters_per_second: float,
        seconds: float,
        seconds_left: float,
        epoch: float,
    ) -> None:
        """A step, its loss in nats a symbol, and the pace."""
        frame = self._frame
        frame.step, frame.loss, frame.speed = step, loss, characters_per_second
        frame.seconds, frame.seconds_left, frame.epoch = seconds, seconds_left, epoch
        frame.curve.add(loss)
        if self._live is None and (self._pace.due(seconds) or step == frame.steps):
            console.say(status_line(frame))

    def evaluated(self, step: int, name: str, nats: float) -> None:
        """A loss on text that is not learnt, in nats a symbol, and what that text is called."""
        self._frame.evaluated, self._frame.evaluated_on = nats, name

    def sampled(self, step: int, text: str) -> None:
        """What the network writes now."""
        self._frame.sample, self._frame.sample_step = text, step

    def saved(self, step: int) -> None:
        """A checkpoint is on disk."""
        self._frame.saved = step

    def finished(self, *, interrupted: bool) -> None:
        """No step follows; evaluating and exporting may."""
        self._frame.seconds_left = 0.0
        self._frame.interrupted = interrupted
        self.close()

    def summary(
        self, lines: Sequence[str], samples: Sequence[tuple[int, str]], next_line: str
    ) -> None:
        """The end: samples from early, middle and now as (step, text), figures (each ``Name:  what
        is known``), and what to type next."""
        self.close()
        for step, text in samples:
            console.say("")
            console.show_notice(f"after {figures.steps(step)}")
            _show_sample(text)
        console.say("")
        for line in lines:
            show_fact(line)
        console.say("")
        show_next(next_line)


class LinePace:
    """When a plain line is due: the first at once, then every ten seconds, more seldom later."""

    def __init__(self) -> None:
        self._told: float | None = None

    def due(self, seconds: float) -> bool:
        """Whether it is, ``seconds`` after the beginning; it then counts as told."""
        now = time.monotonic()
        pause = min(_LINES_SELDOM, max(_LINES_EVERY, seconds / 60))
        if self._told is None or now - self._told >= pause:
            self._told = now
            return True
        return False


def _show_sample(text: str) -> None:
    if not console.lively(sys.stderr):
        rows = [row for row in visible(text).split("\n") if row.strip()]
        for row in rows[:_SUMMARY_ROWS]:
            console.say(f"  {row}")
        return
    out = console.errors()
    for line in sample_rows(text, out.width - 1, _SUMMARY_ROWS):
        out.print(line, no_wrap=True)


def show_fact(line: str) -> None:
    """``Name:  what is known``: on a terminal the name is dim, and further rows stand below the
    first."""
    name, colon, known = line.partition(":  ")
    if not (colon and console.lively(sys.stderr)):
        console.say(line)
        return
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    indent = len(known) - len(known.lstrip())
    grid.add_row(
        Text(visible(name + ":") + " " * indent, style="dim"), Text(visible(known.lstrip()))
    )
    console.errors().print(Padding(grid, 0))


def show_next(line: str) -> None:
    """What to type next, never broken: it is there to be copied."""
    if not console.lively(sys.stderr):
        console.say(f"Next:  {line}")
        return
    from rich.text import Text

    text: Text = Text.assemble(("Next:  ", "dim"), (visible(line), "bold"))
    console.errors().print(text, soft_wrap=True)
