"""What a person sees of many trainings: the running one, the best so far, and a line for each that
has ended. A sweep calls them trials; a comparison gives each a title."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from textgen.screen import console
from textgen.screen.safe import one_line
from textgen.screen.training_frame import TrainingFrame, status_line
from textgen.screen.training_view import LinePace, show_fact, show_next

if TYPE_CHECKING:
    from rich.text import Text


@dataclass
class SweepFrame:
    """What is known now. The losses are in nats a symbol."""

    trials: int = 0
    trial: int | None = None
    title: str = ""
    """What stands for the number of the trial, where it is not one of a sweep's."""
    settings: str = ""
    best: str = ""
    training: TrainingFrame = field(default_factory=lambda: TrainingFrame(sampled=False))
    closed: bool = False

    @property
    def name(self) -> str:
        """Of the running training."""
        return self.title or ("" if self.trial is None else f"trial {self.trial}")

    def rows(self, width: int, height: int) -> list[Text]:
        """Lines of at most ``width`` columns, the same number until it is closed; then none."""
        from rich.text import Text

        if self.closed:
            return []
        title = one_line(self.title) or self.name
        if not self.title and self.trial is not None and self.trial <= self.trials:
            title += f" of {self.trials}"  # not where some were interrupted, and there are more
        gap = max(len(title), len("best so far")) + 3
        rows = [
            Text(""),
            Text.assemble((title.ljust(gap), "bold"), one_line(self.settings)),
            Text.assemble(("best so far".ljust(gap), "dim"), one_line(self.best or "none yet")),
        ]
        for row in rows:
            row.no_wrap = True
            row.truncate(width, overflow="ellipsis")
        return (rows + self.training.rows(width, height)[1:])[: max(1, height - 1)]


class SweepView:
    """A block that renews itself on a terminal below the lines of the trials that ended; those
    lines, and one from time to time, elsewhere."""

    def __init__(self) -> None:
        self._frame = SweepFrame()
        self._live: Any = None
        self._pace = LinePace()

    def __enter__(self) -> SweepView:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Takes the block away and gives the terminal back."""
        if self._live is not None:
            self._frame.closed = True
            live, self._live = self._live, None
            live.stop()

    def started(self, lines: Sequence[str], trials: int, best: str) -> None:
        """``lines`` say what will be done, ``trials`` how many the study will have."""
        self._frame.trials, self._frame.best = trials, best
        title, *others = lines
        console.say(title)
        for line in others:
            console.show_notice(line)
        if console.lively(sys.stderr):
            from textgen.screen.live_block import LiveBlock

            self._live = LiveBlock(self._frame, console.errors())
            self._live.start()

    def trial(self, number: int, settings: str) -> None:
        """A trial begins, with these settings."""
        self._frame.trial = number
        self.begins("", settings)

    def begins(self, title: str, settings: str) -> None:
        """A training begins that is called ``title``."""
        self._frame.title, self._frame.settings = title, settings
        self._frame.training = TrainingFrame(sampled=False)
        self._pace = LinePace()
        self._pace.due(0.0)  # a short one needs no line but its last

    def progress(self, **known: Any) -> None:
        """A step of the running trial: fields of ``TrainingFrame``."""
        frame = self._frame.training
        for name, value in known.items():
            setattr(frame, name, value)
        frame.curve.add(known["loss"])
        if self._live is None and self._pace.due(frame.seconds):
            console.say(f"{self._frame.name}: {status_line(frame)}")

    def evaluated(self, nats: float) -> None:
        """The running trial's loss on the text held back."""
        self._frame.training.evaluated = nats

    def ended(self, line: str, best: str) -> None:
        """A trial has ended, as ``line`` says; ``best`` is the best of all now."""
        self._frame.best = best
        console.say(line)

    def summary(self, facts: Mapping[str, str], next_line: str) -> None:
        """The end: facts by name, and what to type next."""
        self.close()
        if not next_line:
            return
        console.say("")
        wide = max(map(len, facts), default=0) + 3
        for name, fact in facts.items():
            show_fact(f"{name + ':':<{wide}}{fact}")
        console.say("")
        show_next(next_line)
