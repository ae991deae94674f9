"""The block of a training: what is known now, drawn into any width and height."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from textgen.screen import console, figures
from textgen.screen.bar import bar_of
from textgen.screen.safe import visible

if TYPE_CHECKING:
    from rich.text import Text

_WIDEST = 96
"""Columns: longer lines are hard to read, and break when a window shrinks."""

_SAMPLE_ROWS = 8
_OTHER_ROWS = 6
_CURVE_VALUES = 512


class Curve:
    """All losses so far in a bounded number of equal shares, each the mean of its values."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self._share = 1
        self._sum, self._count = 0.0, 0
        self.first: float | None = None

    def add(self, value: float) -> None:
        """The next loss."""
        if self.first is None:
            self.first = value
        self._sum, self._count = self._sum + value, self._count + 1
        if self._count < self._share:
            return
        self.values.append(self._sum / self._count)
        self._sum, self._count = 0.0, 0
        if len(self.values) == _CURVE_VALUES:
            pairs = zip(self.values[::2], self.values[1::2], strict=True)
            self.values = [(a + b) / 2 for a, b in pairs]
            self._share *= 2

    def top(self) -> float | None:
        """Where a drawing of it is best cut: what it had reached after its first twentieth, for it
        falls steeply at first."""
        return self.values[len(self.values) // 20] if self.values else None


@dataclass
class TrainingFrame:
    """What is known now. Losses in nats a symbol."""

    steps: int = 0
    step: int = 0
    loss: float | None = None
    evaluated: float | None = None
    evaluated_on: str = "held back"
    """What the text of that loss is called."""
    speed: float = 0.0
    seconds: float = 0.0
    seconds_left: float = 0.0
    epoch: float = 0.0
    sample: str = ""
    sample_step: int = 0
    saved: int | None = None
    interrupted: bool = False
    closed: bool = False
    sampled: bool = True
    """Whether there is room for what it writes."""
    curve: Curve = field(default_factory=Curve)

    def rows(self, width: int, height: int) -> list[Text]:
        """Lines of at most ``width`` columns. While the training runs their number depends on
        ``height`` alone, so that nothing jumps; closed, the figures are left."""
        from rich.text import Text

        width = min(_WIDEST, width)
        rows = [Text(""), self._bar(width), self._figures(width), self._curve(width)]
        room = min(_SAMPLE_ROWS, height - _OTHER_ROWS - 1)
        if self.sampled and not self.closed and room > 0:
            said = f"after {figures.steps(self.sample_step)}" if self.sample else ""
            sample = sample_rows(self.sample, width, room)
            rows += [Text(""), Text(said or "no sample yet", style="dim"), *sample]
            rows += [Text("")] * (room - len(sample))
        for row in rows:
            row.no_wrap = True
            row.truncate(width, overflow="ellipsis")
        return rows

    def _bar(self, width: int) -> Text:
        share = self.step / max(1, self.steps)
        facts = [f"{int(100 * share):3d} %", _time(self)]
        told = "   ".join(facts)
        bar = bar_of(share, max(8, width - max(len(told), 24) - 3))
        return bar.append(f"   {told}")

    def _figures(self, width: int) -> Text:
        """Names dim, values bold; from the end, what has no room is left out."""
        from rich.text import Text

        cells = [("train", _loss(self.loss)), (self.evaluated_on, _loss(self.evaluated))]
        cells += [("characters/s", figures.count(self.speed)), ("epoch", f"{self.epoch:.1f}")]
        if self.saved is not None:
            cells.append(("saved at step", figures.count(self.saved)))
        line = Text()
        for name, value in cells:
            cell = Text.assemble((name, "dim"), " ", (value, "bold"))
            gap = 3 if line else 0
            if len(line) + gap + len(cell) > width:
                break
            line.append(" " * gap).append_text(cell)
        return line

    def _curve(self, width: int) -> Text:
        """The loss from its first value to its last, as a sparkline between the two."""
        from rich.text import Text

        if self.loss is None:
            return Text("")
        first, last = _loss(self.curve.first), _loss(self.loss)
        room = width - len("loss  ") - len(first) - len(last) - 2
        line = figures.sparkline(
            self.curve.values,
            max(1, room),
            top=self.curve.top(),
            ascii_only=console.ascii_only(sys.stderr),
        )
        return Text.assemble(("loss  ", "dim"), first, " ", (line, "cyan"), " ", last)


def sample_rows(text: str, width: int, most: int) -> list[Text]:
    """The first lines of a text that are not empty, broken at ``width``, behind a rule."""
    from rich.text import Text

    rule = "| " if console.ascii_only(sys.stderr) else "│ "
    rows: list[Text] = []
    for line in visible(text).expandtabs(4).split("\n"):
        if not line.strip():
            continue
        for piece in _broken(Text(line.rstrip()), max(1, width - len(rule))):
            rows.append(Text.assemble((rule, "bright_black"), piece, no_wrap=True))
            if len(rows) == most:
                return rows
    return rows


def status_line(frame: TrainingFrame) -> str:
    """The figures as one plain line."""
    parts = [f"step {figures.count(frame.step)} of {figures.count(frame.steps)}"]
    parts.append(f"train {_loss(frame.loss)}")
    if frame.evaluated is not None:
        parts.append(f"{frame.evaluated_on} {_loss(frame.evaluated)}")
    parts.append(f"{figures.count(frame.speed)} characters/s")
    parts.append(_time(frame))
    return "  ".join(parts)


def _broken(line: Text, width: int) -> list[Text]:
    """The line's rows of at most ``width`` columns, broken between words where it can be."""
    rows = list(line.wrap(console.errors(), width, overflow="fold"))
    for row in rows:
        row.rstrip()
    return rows


def _time(frame: TrainingFrame) -> str:
    took = f"in {figures.duration(frame.seconds)}"
    if frame.closed:
        return took
    if frame.step >= frame.steps > 0:
        return f"{took}  finishing"
    if frame.step == 0:
        return "measuring the speed" if frame.loss is None else ""
    return f"{figures.duration(frame.seconds_left)} left"


def _loss(nats: float | None) -> str:
    return "-    " if nats is None else f"{nats:.3f}"
