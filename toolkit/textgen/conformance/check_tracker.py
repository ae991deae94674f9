"""The rules every tracker keeps, as a function to call from a plugin's own tests.

from textgen.conformance.check_tracker import check_tracker

def test_conforms():
    check_tracker(MyTracker)
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from textgen.conformance.rules import Finding, Findings, enforce, in_turn
from textgen.contracts.options import build_options
from textgen.contracts.tracker import RunFacts, Tracker

_SETTINGS = MappingProxyType(
    {"hidden_size": 8, "dropout": 0.1, "schedule": "cosine", "average": False, "cell.leak": 0.5}
)


def check_tracker(tracker_class: type[Tracker], options: Mapping[str, Any] | None = None) -> None:
    """Tells it of two short trainings, one of which is interrupted and goes on.

    It is told in a temporary folder, so that what it writes beside the run goes away.
    ``options`` are as a person would give them. Raises BrokenRuleError for the first broken rule.
    """
    enforce(examine_tracker(tracker_class, options))


def examine_tracker(
    tracker_class: type[Tracker], options: Mapping[str, Any] | None = None
) -> Findings:
    """The same, rule by rule. Raises UserError for options that the tracker does not have."""
    owner = f"tracker {tracker_class.__name__}"
    chosen = build_options(tracker_class.Options, options or {}, owner)
    return in_turn(_parts(tracker_class, chosen))


def _parts(tracker_class: type[Tracker], options: Any) -> Iterator[Findings]:
    with tempfile.TemporaryDirectory(prefix="textgen-tracker-") as place:
        run = Path(place) / "runs" / "text-lstm"
        (run / "checkpoints").mkdir(parents=True)
        (run / "checkpoints" / "last.safetensors").write_bytes(b"")
        yield _told(tracker_class, options, Path(place), run)
        yield _left_alone(run)


def _told(tracker_class: type[Tracker], options: Any, place: Path, run: Path) -> Findings:
    for rule, begun, steps, outcome in (
        ("it is told of a training that is interrupted", 0, (1, 10, 20), "interrupted"),
        ("it is told of one that goes on, where steps come again", 10, (20, 30), "finished"),
        ("it is told of one that fails, in which a figure may be no number", 0, (1,), "failed"),
    ):
        facts = RunFacts("text-lstm", run, settings=_SETTINGS, corpus="text", step=begun)
        with contextlib.chdir(place):
            _tell(tracker_class(options), facts, steps, outcome)
        yield Finding(True, rule, f"steps {', '.join(map(str, steps))}, then {outcome}")


def _tell(tracker: Tracker, facts: RunFacts, steps: tuple[int, ...], outcome: str) -> None:
    tracker.begin(facts)
    for step in steps:
        loss = math.nan if outcome == "failed" else 3.0 / step
        values = {"loss": loss, "learning_rate": 0.002, "symbols": 64.0 * step}
        tracker.metrics(step, MappingProxyType(values))
        tracker.metrics(step, MappingProxyType({"held_back": loss, "validation": loss}))
        tracker.sample(step, "a sample \u00e9 \u65e5\n\x1b[31m")
        tracker.checkpoint(step, facts.folder / "checkpoints")
    tracker.metrics(steps[-1], MappingProxyType({"final.cold": 1.5, "final.carried": 1.4}))
    tracker.end(outcome)


def _left_alone(run: Path) -> Findings:
    found = sorted(path.name for path in run.rglob("*"))
    yield Finding(
        found == ["checkpoints", "last.safetensors"],
        "it writes nothing into the run's folder, which is the core's",
        ", ".join(found),
        "run.folder was taken for a place to write: write beside it, or where an option says",
    )
