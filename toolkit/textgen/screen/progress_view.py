"""How far a download or a packing has come, on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from textgen.screen import console, figures

_QUIET = 0.5
"""Seconds before anything is shown: what is quick needs no bar."""

_LINES_EVERY = 10.0


class ProgressView:
    """A bar on a terminal, a line every ten seconds elsewhere. Call it with a stage, what is done,
    and the total where it is known."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._line_told = self._began
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> ProgressView:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._began < _QUIET:
            return
        if not console.lively(sys.stderr):
            if now - self._line_told >= _LINES_EVERY:
                self._line_told = now
                of = f" of {figures.size(total)}" if total else ""
                console.show_notice(f"{stage}: {figures.size(done)}{of}")
            return
        if self._bar is None:
            self._bar = _bar()
            self._bar.start()
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total)
        self._bar.update(self._tasks[stage], completed=done, total=total)


def _bar() -> Any:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description:<11}"),
        BarColumn(bar_width=30),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console.errors(),
        transient=True,
    )
