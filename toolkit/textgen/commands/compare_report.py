"""Tells a comparison's events and what it found: to a person on the screen, or as JSON lines."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from textgen.commands.sweep_report import in_words
from textgen.commands.trainings_view import TrainingsView
from textgen.experiments.compare_events import (
    Chosen,
    CompareEvent,
    CompareObserver,
    Measuring,
    OfTrial,
    Opened,
    RunBegun,
    RunEnded,
    Waiting,
)
from textgen.experiments.comparison import Comparison
from textgen.experiments.contenders import Course
from textgen.experiments.contest import COMPLETE
from textgen.experiments.sentences import TOLERANCE
from textgen.experiments.trials import TrialBegun
from textgen.screen import console, figures, tables
from textgen.screen.compare_tables import cell_rows

_TOLD_BEFORE = ("units", "parameters", "precision", "symbols/s")
"""Columns for which a terminal has no room; the first lines have said them."""


class CompareReport(TrainingsView, CompareObserver):
    """Hands the events to the screen; the table at the end goes to standard output."""

    def __init__(self) -> None:
        super().__init__()
        self._trials = self._runs = 0
        self._best: dict[str, float] = {}
        """The lowest loss of the trials, by cell."""
        self._reached: dict[str, list[float]] = {}
        """Losses of the runs in equal symbols, by cell."""

    def on_compare(self, event: CompareEvent) -> None:
        if isinstance(event, Measuring):
            console.show_notice("Making the cells equally large, and measuring how fast they are.")
        elif isinstance(event, Opened):
            self._trials, self._runs = event.trials, event.runs
            self._view.started(_beginning(event), event.runs, "")
        elif isinstance(event, OfTrial):
            self._of_trial(event)
        elif isinstance(event, Chosen):
            self._chosen(event)
        elif isinstance(event, RunBegun):
            title = f"run {event.number} of {self._runs}"
            on = ", gone on with" if event.resumed else ""
            self._view.begins(title, f"{_of_run(event)}{on}")
        elif isinstance(event, RunEnded):
            self._run_ended(event)
        elif isinstance(event, Waiting):
            console.show_notice("All that is left runs in other processes; waiting for them.")

    def _of_trial(self, event: OfTrial) -> None:
        if isinstance(event.event, TrialBegun):
            number = event.event.number
            of = f" of {self._trials}" if number <= self._trials else ""
            self._view.begins(f"{event.label}, trial {number}{of}", in_words(event.event.settings))
            return
        trial = event.event.trial
        if trial.state == "complete" and trial.loss is not None:
            self._best[event.label] = min(trial.loss, self._best.get(event.label, trial.loss))
        loss = "no loss" if trial.loss is None else f"{trial.loss:.4f} held back"
        how = "" if trial.state == "complete" else f", {trial.state}"
        reason = f" ({trial.reason})" if trial.reason else ""
        line = f"{event.label}, trial {trial.number}: {loss}{how}{reason}; "
        self._view.ended(line + in_words(trial.settings), _ranking(self._best))

    def _chosen(self, event: Chosen) -> None:
        if event.reason:
            console.show_warning(f"{event.label} is out of the comparison: {event.reason}")
        elif event.settings:
            console.say(f"{event.label}: chosen {in_words(event.settings)}")

    def _run_ended(self, event: RunEnded) -> None:
        result = event.result
        told = f"{result['state']} ({result.get('reason', '')})"
        if result["state"] == COMPLETE:
            loss = result["test"]["carried"]["nats"]
            told = f"{loss:.4f} on the test text in {figures.duration(result['seconds'])}"
            if "symbols" in event.budgets:
                self._reached.setdefault(event.label, []).append(loss)
        means = {label: statistics.fmean(losses) for label, losses in self._reached.items()}
        self._view.ended(f"{_of_run(event)}: {told}", _ranking(means))

    def summarize(self, compared: Comparison, *, as_json: bool) -> None:
        """The table of the cells, and the sentences that one may write."""
        self._view.close()
        if compared.interrupted:
            console.say("Interrupted; the same command goes on.")
        found = compared.found
        if as_json:
            for run in found["runs"]:
                tables.show_json({"event": "run", **run})
            for cell in found["cells"]:
                tables.show_json({"event": "cell", **cell})
            known = {n: v for n, v in found.items() if n not in ("runs", "cells")}
            tables.show_json({"event": "comparison", "folder": str(compared.folder), **known})
            return
        _show_table(found)
        for line in [*found["sentences"], *found["excluded"]]:
            console.say("")
            console.say(line, "" if line in found["sentences"] else "dim")
        console.say("")
        console.say(f"Report: {compared.folder / 'report.html'}")


def _beginning(event: Opened) -> list[str]:
    runs = f"{event.runs} runs" + (f", {event.done} of them done" if event.done else "")
    trials = f"trials of each cell: {event.trials}, then " if event.trials else ""
    equal = f"{figures.count(event.target)} parameters, equal time {_time(event.seconds)}"
    lines = [f"Comparison {event.name}: {equal}; {trials}{runs}"]
    lines += [_course(course, event.target) for course in event.courses]
    if event.done < event.runs:
        lines.append("Ctrl-C ends it and tells what was found; the same command goes on.")
    return lines


def _course(course: Course, target: int) -> str:
    if course.failure:
        return f"{course.label} is out of the comparison: {course.failure}"
    differs = (course.parameters - target) / target
    off = f", {differs:+.1%} of what was asked for" if abs(differs) > TOLERANCE else ""
    steps = course.steps or {}
    return (
        f"{course.label}: {course.hidden_size} units, {figures.count(course.parameters)} parameters"
        f"{off} (embedding {figures.count(course.embedding)}, recurrent "
        f"{figures.count(course.recurrent)}, head {figures.count(course.head)}); {course.kernel}, "
        f"{course.precision}, {figures.count(course.symbols_a_step / course.seconds_a_step)} "
        f"symbols/s; {figures.steps(steps['symbols'])} in equal symbols, "
        f"{figures.count(steps['time'])} in equal time"
    )


def _time(seconds: float) -> str:
    return figures.duration(seconds) if seconds >= 10 else f"{seconds:.2g} s"


def _of_run(event: RunBegun | RunEnded) -> str:
    return f"{event.label}, equal {' and '.join(event.budgets)}, seed {event.seed}"


def _ranking(losses: dict[str, float]) -> str:
    """``gru 1.5203, lstm 1.5310``."""
    ranked = sorted(losses, key=losses.__getitem__)
    return ", ".join(f"{label} {losses[label]:.4f}" for label in ranked)


def _show_table(found: Mapping[str, Any]) -> None:
    if console.is_terminal(console.stdout()):
        console.say("")
    columns, rows = cell_rows(found)
    columns.append("state")
    for row, cell in zip(rows, found["cells"], strict=True):
        row.append(cell["state"])
    kept = [at for at, name in enumerate(columns) if name not in _TOLD_BEFORE]
    tables.show_table(
        [columns[at] for at in kept],
        [[row[at] for at in kept] for row in rows],
        empty="There are no cells.",
    )
