"""Trackers at work: they are told of a training, and none of them can end it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from types import TracebackType

from textgen.contracts.tracker import RunFacts, Tracker
from textgen.quarantine import PluginFailure, contained
from textgen.training.observer import (
    Evaluated,
    Event,
    Finished,
    Observer,
    Progress,
    Sampled,
    Saved,
    Started,
)


class Tracking(Observer):
    """Hands the events to another observer, then to trackers; its block is the whole training.

    A tracker that raises is dropped, which ``warn`` is told.
    """

    def __init__(
        self,
        observer: Observer,
        trackers: Iterable[tuple[str, Tracker]],
        run: RunFacts,
        warn: Callable[[str], None],
    ) -> None:
        self._observer = observer
        self._trackers = list(trackers)
        self._run = run
        self._warn = warn
        self._begun = self._interrupted = False

    def __enter__(self) -> Tracking:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        outcome = "interrupted" if self._interrupted else "finished"
        if kind is not None:
            outcome = "interrupted" if issubclass(kind, KeyboardInterrupt) else "failed"
        if self._begun:
            self._tell(lambda tracker: tracker.end(outcome))

    def on(self, event: Event) -> None:
        self._observer.on(event)
        if isinstance(event, Started):
            self._begun = True
            facts = replace(self._run, step=event.step)
            self._tell(lambda tracker: tracker.begin(facts))
        elif isinstance(event, Sampled):
            self._tell(lambda tracker: tracker.sample(event.step, event.text))
        elif isinstance(event, Saved):
            folder = self._run.folder / "checkpoints"
            self._tell(lambda tracker: tracker.checkpoint(event.step, folder))
        else:
            self._interrupted |= isinstance(event, Finished) and event.interrupted
            if values := _metrics(event):
                self._tell(lambda tracker: tracker.metrics(event.step, dict(values)))

    def _tell(self, what: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers):
            try:
                with contained():
                    what(tracker)
            except PluginFailure as failure:
                self._trackers.remove((name, tracker))
                self._warn(f"The tracker {name} failed, and is told nothing more: {failure}")


def _metrics(event: Progress | Evaluated | Finished) -> dict[str, float]:
    """The figures of an event, as ``Tracker.metrics`` names them."""
    if isinstance(event, Progress):
        return {
            "loss": event.loss,
            "learning_rate": event.learning_rate,
            "characters_per_second": event.characters_per_second,
            "symbols": float(event.symbols),
            "epoch": event.epoch,
        }
    if isinstance(event, Evaluated):
        losses = {"held_back": event.held_back, "validation": event.validation}
        return {name: loss.nats for name, loss in losses.items() if loss is not None}
    return {f"final.{name}": loss["nats"] for name, loss in event.losses.items()}
