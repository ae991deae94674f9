"""Tells a sweep's events and what it found: to a person on the screen, or as JSON lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textgen.commands.trainings_view import TrainingsView
from textgen.experiments.space import as_typed
from textgen.experiments.study import TrialRecord
from textgen.experiments.sweep import Sweep
from textgen.experiments.trials import Begun, SweepEvent, SweepObserver, TrialBegun, TrialEnded
from textgen.screen import console, figures, tables


class SweepReport(TrainingsView, SweepObserver):
    """Hands the events to the screen; the table at the end goes to standard output."""

    def on_sweep(self, event: SweepEvent) -> None:
        if isinstance(event, Begun):
            self._view.started(_beginning(event), event.trials, _best(event.best))
        elif isinstance(event, TrialBegun):
            self._view.trial(event.number, in_words(event.settings))
        elif isinstance(event, TrialEnded):
            self._view.ended(_ended(event.trial), _best(event.best))

    def summarize(self, sweep: Sweep, next_line: str, *, as_json: bool) -> None:
        """The table of all trials, the best one's figures, and what to type next."""
        self._view.close()
        if sweep.interrupted:
            console.say("Interrupted; the same command goes on.")
        if as_json:
            _show_json(sweep, next_line)
        else:
            _show_table(sweep)
        running = [str(trial.number) for trial in sweep.trials if trial.state == "running"]
        if running:
            console.say(
                f"Still running elsewhere: trial {', '.join(running)}. The same command tells the "
                "end."
            )
        if sweep.best is None or as_json:
            return
        best, losses = sweep.best, sweep.best.validation
        facts = {"Best": f"trial {best.number}: {in_words(best.settings)}"}
        facts["Held back"] = f"{best.loss:.4f} nats a symbol, by which it was chosen"
        if "cold" in losses:
            facts["Validation"] = (
                f"{losses['cold']['nats']:.4f} nats on cold windows, "
                f"{losses['carried']['nats']:.4f} carried"
            )
        facts["Picture"] = str(sweep.picture)
        self._view.summary(facts, next_line)


def in_words(settings: Mapping[str, Any]) -> str:
    """``learning_rate 0.004, layers 1``."""
    return ", ".join(f"{name} {as_typed(value)}" for name, value in settings.items())


def _beginning(event: Begun) -> list[str]:
    lines = [f"Sweep {event.name}: {event.trials} trials over {', '.join(event.varied)}"]
    if event.joined:
        lines.append(f"The study was there: {event.counted} of its trials are done or running.")
    if event.counted < event.trials:
        lines.append("Ctrl-C ends it and tells what was found; the same command goes on.")
    return lines


def _best(best: TrialRecord | None) -> str:
    if best is None:
        return ""
    return f"{best.loss:.4f} in trial {best.number}: {in_words(best.settings)}"


def _ended(trial: TrialRecord) -> str:
    loss = "no loss" if trial.loss is None else f"{trial.loss:.4f}"
    how = "" if trial.state == "complete" else f", {trial.state}"
    after = f" after {figures.steps(trial.steps)}" if how and trial.steps else ""
    reason = f" ({trial.reason})" if trial.reason else ""
    return f"trial {trial.number}: {loss}{how}{after}{reason}; {in_words(trial.settings)}"


def _show_table(sweep: Sweep) -> None:
    if console.is_terminal(console.stdout()):
        console.say("")
    names = [varied.name for varied in sweep.space]
    columns = ["trial", "nats", *(name.replace("_", " ") for name in names)]
    rows = [
        [
            str(trial.number),
            "" if trial.loss is None else f"{trial.loss:.4f}",
            *(as_typed(trial.settings[name]) if name in trial.settings else "" for name in names),
            figures.count(trial.symbols),
            f"{trial.seconds:.1f}",
            trial.state,
        ]
        for trial in sweep.trials
    ]
    tables.show_table(
        [*columns, "symbols", "seconds", "state"], rows, empty="There are no trials yet."
    )


def _show_json(sweep: Sweep, next_line: str) -> None:
    for trial in sweep.trials:
        told = {
            "event": "trial",
            "trial": trial.number,
            "state": trial.state,
            "loss": trial.loss,
            "settings": trial.settings,
            "steps": trial.steps,
            "symbols": trial.symbols,
            "seconds": trial.seconds,
        }
        tables.show_json(told | ({"reason": trial.reason} if trial.reason else {}))
    if sweep.best is not None:
        tables.show_json(
            {
                "event": "best",
                "trial": sweep.best.number,
                "loss": sweep.best.loss,
                "validation": sweep.best.validation,
                "settings": {**sweep.settings},
                "cell_options": {**sweep.cell_options},
                "next": next_line,
            }
        )
