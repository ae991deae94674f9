"""Shows the trainings of an experiment, one after the other, while they run."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from textgen.screen import console
from textgen.screen.sweep_view import SweepView
from textgen.training.observer import Evaluated, Event, Observer, Progress, Started


class TrainingsView(Observer):
    """Hands the events of each training to the screen, and the notices of the first."""

    def __init__(self) -> None:
        self._view = SweepView()
        self._noticed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._view.close()

    def on(self, event: Event) -> None:
        if isinstance(event, Started) and not self._noticed:
            self._noticed = True
            for notice in event.notices:
                console.show_notice(notice)
        elif isinstance(event, Progress):
            self._view.progress(
                step=event.step,
                steps=event.steps,
                loss=event.loss,
                speed=event.characters_per_second,
                seconds=event.seconds,
                seconds_left=event.seconds_left,
                epoch=event.epoch,
            )
        elif isinstance(event, Evaluated) and event.held_back:
            self._view.evaluated(event.held_back.nats)
