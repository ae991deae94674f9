"""Tells a training's events: to a person on the screen, or to a program as JSON lines."""

from __future__ import annotations

import dataclasses
from types import TracebackType
from typing import Any

from textgen.contracts.errors import TextgenError
from textgen.runs import Run
from textgen.screen import console, figures, tables
from textgen.screen.training_view import TrainingView
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
from textgen.training.ranks import is_first
from textgen.training.verify import Verified


class Report(Observer):
    """Says nothing: what ranks after the first say, which train as the first does."""

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def notice(self, line: str) -> None:
        """Something worth knowing."""

    def summarize(self, run: Run) -> None:
        """The end of the training."""


class ScreenReport(Report):
    """Hands the events to the screen."""

    def __init__(self) -> None:
        self._view = TrainingView()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._view.close()

    def on(self, event: Event) -> None:
        if isinstance(event, Started):
            for notice in event.notices:
                console.show_notice(notice)
            self._view.started(_title(event), _plan(event), event.steps)
        elif isinstance(event, Progress):
            self._view.progress(
                step=event.step,
                loss=event.loss,
                characters_per_second=event.characters_per_second,
                seconds=event.seconds,
                seconds_left=event.seconds_left,
                epoch=event.epoch,
            )
        elif isinstance(event, Evaluated):
            name, loss = "held back", event.held_back
            if loss is None:
                name, loss = "validation", event.validation
            if loss is not None:
                self._view.evaluated(event.step, name, loss.nats)
        elif isinstance(event, Sampled):
            self._view.sampled(event.step, event.text)
        elif isinstance(event, Saved):
            self._view.saved(event.step)
        elif isinstance(event, Finished):
            self._view.finished(interrupted=event.interrupted)

    def notice(self, line: str) -> None:
        console.show_notice(line)

    def summarize(self, run: Run) -> None:
        samples = [(sample.step, sample.text) for sample in run.samples]
        middle = len(samples) // 2
        chosen = sorted({0, middle, len(samples) - 1}) if samples else []
        lines = [_interrupted(run)] if run.interrupted else []
        if "cold" in run.losses:
            cold, carried = run.losses["cold"], run.losses["carried"]
            lines.append(
                f"Validation:  {cold['nats']:.4f} nats ({cold['bits']:.3f} bits) a symbol on cold "
                f"windows, {carried['nats']:.4f} carried"
            )
        if "nanogpt" in run.losses:
            lowest = run.losses["nanogpt"]
            lines.append(
                f"nanoGPT's:   {lowest['nats']:.4f} nats, the minimum over evaluations on "
                f"{figures.count(lowest['symbols'])} symbols of the validation text"
            )
        lines.append(
            f"Trained:     {figures.steps(run.steps)}, {figures.count(run.symbols)} symbols "
            f"in {figures.duration(run.seconds)}"
        )
        lines.append(f"Model:       {run.model}, {figures.size(run.model.stat().st_size)}")
        next_line = "textgen generate --onnx model.onnx"
        self._view.summary(lines, [samples[i] for i in chosen], next_line)


class JsonReport(Report):
    """Writes every event as one JSON object a line."""

    def notice(self, line: str) -> None:
        console.show_notice(line)

    def on(self, event: Event) -> None:
        values: dict[str, Any] = {
            name: value for name, value in dataclasses.asdict(event).items() if name != "run"
        }
        tables.show_json({"event": type(event).__name__.lower(), **values})

    def summarize(self, run: Run) -> None:
        tables.show_json(
            {
                "event": "exported",
                "run": run.folder.name,
                "model": str(run.model),
                "losses": run.losses,
                "steps": run.steps,
                "symbols": run.symbols,
                "seconds": round(run.seconds, 2),
                "interrupted": run.interrupted,
            }
        )


def report_of_rank(as_json: bool) -> Report:
    """How this process tells of a training."""
    if not is_first():
        return Report()
    return JsonReport() if as_json else ScreenReport()


def tell_verified(found: Verified, as_json: bool) -> int:
    """Says whether a training can be interrupted without a trace; the exit status."""
    if as_json:
        tables.show_json({"event": "verified", "exact": found.exact, **dataclasses.asdict(found)})
        return 0 if found.exact else 1
    pieces = f"{found.steps} steps straight and with {found.interruptions} interruptions"
    where = f"in {found.precision} on {found.device}"
    if found.exact:
        console.say(f"Resuming is exact: {pieces} agree bit for bit, {where}.")
        return 0
    raise TextgenError(
        f"Resuming is not exact: {pieces} differ in {len(found.differing)} places, by "
        f"{found.largest:.1e} at most, {where}; the first is {found.differing[0]}.",
        "On the CPU it should be; a cell that keeps state in attributes, or draws numbers of its "
        "own, would do this.",
    )


def _title(event: Started) -> str:
    return (
        f"{event.cell}, {figures.count(event.parameters)} parameters, "
        f"{event.precision} on {event.device}, run {event.run}"
    )


def _plan(event: Started) -> str:
    share, whole = event.epochs, figures.count(event.corpus_symbols)
    seen = f"the corpus' {whole} seen {share:.1f} times"
    if share < 1:
        seen = f"{share:.1%} of the corpus' {whole}"
    going_on = f", from step {figures.count(event.step)}" if event.step else ""
    held = f", {figures.count(event.held_back)} held back" if event.held_back else ""
    return (
        f"{figures.steps(event.steps)}{going_on}: {figures.count(event.symbols)} symbols, "
        f"{seen}{held}. "
        "Ctrl-C stops early and keeps the best."
    )


def _interrupted(run: Run) -> str:
    return f"Interrupted. Go on with: textgen train --resume {run.folder.name}"
