"""What a person sees of a training: losses, speed, time left, a curve, and the newest sample."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from textgen.screen import console, figures
from textgen.screen.safe import one_line, visible

if TYPE_CHECKING:
    from rich.console import RenderableType

_LINES_EVERY = 10.0
"""Seconds between plain lines."""

_SAMPLE_LINES = 8


@dataclass
class _Shown:
    """What is known now."""

    title: str = ""
    step: int = 0
    steps: int = 0
    loss: float | None = None
    validation: float | None = None
    speed: float = 0.0
    seconds: float = 0.0
    seconds_left: float = 0.0
    epoch: float = 0.0
    sample: str = ""
    sample_step: int = 0
    curve: list[float] = field(default_factory=list)


class TrainingView:
    """A block that renews itself four times a second on a terminal; plain lines elsewhere."""

    def __init__(self) -> None:
        self._shown = _Shown()
        self._live: Any = None
        self._line_told = 0.0

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
        """Leaves the last state on the screen and gives the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def started(self, title: str, plan: str, steps: int) -> None:
        """``title`` says what is trained, ``plan`` what the budget will do."""
        self._shown.title, self._shown.steps = title, steps
        console.show_notice(title)
        console.show_notice(plan)
        if console.lively(sys.stderr):
            from rich.live import Live

            self._live = Live(
                get_renderable=self._render,
                console=console.errors(),
                refresh_per_second=4,
                transient=False,
            )
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
        shown = self._shown
        shown.step, shown.loss, shown.speed = step, loss, characters_per_second
        shown.seconds, shown.seconds_left, shown.epoch = seconds, seconds_left, epoch
        shown.curve.append(loss)
        now = time.monotonic()
        if self._live is None and (now - self._line_told >= _LINES_EVERY or step == shown.steps):
            self._line_told = now
            console.show_notice(self._status())

    def evaluated(self, step: int, nats: float) -> None:
        """A loss on held-out text."""
        self._shown.validation = nats
        if self._live is None:
            console.show_notice(f"step {figures.count(step)}  validation {nats:.3f} nats")

    def sampled(self, step: int, text: str) -> None:
        """What the network writes now."""
        self._shown.sample, self._shown.sample_step = text, step

    def summary(self, lines: list[str], samples: list[tuple[int, str]], next_line: str) -> None:
        """The end: figures, samples from early, middle and now, and what to type next."""
        self.close()
        for step, text in samples:
            console.show_notice("")
            console.show_notice(f"after {figures.count(step)} steps")
            for line in _lines(text, 5):
                _say(f"  {line}")
        console.show_notice("")
        for line in lines:
            _say(line)
        _say("")
        _say(f"Next:  {next_line}", "bold")

    def _status(self) -> str:
        shown = self._shown
        parts = [f"step {figures.count(shown.step)}/{figures.count(shown.steps)}"]
        if shown.loss is not None:
            parts.append(f"train {shown.loss:.3f}")
        if shown.validation is not None:
            parts.append(f"validation {shown.validation:.3f} nats")
        parts.append(f"{figures.count(shown.speed)} characters/s")
        parts.append(f"{figures.duration(shown.seconds_left)} left")
        return "  ".join(parts)

    def _render(self) -> RenderableType:
        """Always the same number of lines, so that nothing below it jumps."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        shown = self._shown
        width = console.errors().width
        figures_row = Table.grid(padding=(0, 3))
        cells = [
            ("train", "-" if shown.loss is None else f"{shown.loss:.3f}"),
            ("validation", "-" if shown.validation is None else f"{shown.validation:.3f}"),
            ("characters/s", figures.count(shown.speed)),
            ("epoch", f"{shown.epoch:.1f}"),
            ("left", figures.duration(shown.seconds_left)),
        ]
        if width < 70:
            cells = [cells[0], cells[1], cells[4]]
        figures_row.add_row(*(Text(name, style="dim") for name, _ in cells))
        figures_row.add_row(*(Text(value, style="bold") for _, value in cells))
        curve = Text(figures.sparkline(shown.curve, max(10, min(60, width - 20))), style="cyan")
        bar = ProgressBar(total=max(1, shown.steps), completed=shown.step, width=min(60, width - 2))
        heading = f"after {figures.count(shown.sample_step)} steps" if shown.sample else "listening"
        sample = [Text(f"  {line}", no_wrap=True) for line in _lines(shown.sample, _SAMPLE_LINES)]
        sample += [Text("")] * (_SAMPLE_LINES - len(sample))
        for line in sample:
            line.truncate(width - 1, overflow="ellipsis")
        return Group(
            Text(""), bar, figures_row, curve, Text(""), Text(heading, style="dim"), *sample
        )


def _lines(text: str, most: int) -> list[str]:
    lines = [line for line in visible(text).replace("\t", "    ").split("\n") if line.strip()]
    return lines[:most]


def _say(line: str, style: str = "") -> None:
    if console.lively(sys.stderr):
        from rich.text import Text

        console.errors().print(Text(one_line(line), style=style), soft_wrap=True)
    else:
        print(one_line(line), file=sys.stderr)
