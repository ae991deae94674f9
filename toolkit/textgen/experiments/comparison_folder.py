"""The files of a comparison, which several processes can join.

comparisons/<corpus>-<cell>-<cell>/
    comparison.json                     what is compared, and the plan: written once
    sweeps/<cell>/study.db              the trials by which its settings are chosen
    runs/<cell>-<steps>-<seed>/         a training; locked while a process is at it
        result.json                     how it ended: written once
    report.html, results.json, ...      what was found, written anew at every end
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from textgen.contracts.errors import UserError
from textgen.storage import explained, write_json
from textgen.training.run_folder import RunFolder

COMPARISONS = Path("comparisons")


class ComparisonFolder:
    """Reads and writes what a comparison has settled and found."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(
        self, described: Mapping[str, Any], make_plan: Callable[[], dict[str, Any]]
    ) -> tuple[dict[str, Any], bool]:
        """The plan, and whether it was there; the first who opens it makes it, others wait.

        ``described`` is what all who join must have in common, as JSON values. Raises UserError
        where it is not.
        """
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        file = self.path / "comparison.json"
        try:
            with FileLock(self.path / ".lock"):
                if file.exists():
                    begun = _read(file, ("described", "plan"))
                    _refuse_another(self.path.name, begun["described"], described)
                    return begun["plan"], True
                plan = make_plan()
                write_json(file, {"described": described, "plan": plan})
                return plan, False
        except BaseException:
            self._forget_unbegun(file)
            raise

    def run(self, label: str, steps: int, seed: int) -> RunFolder:
        """The folder of one training."""
        return RunFolder(self.path / "runs" / f"{label}-{steps}-{seed}")

    def _forget_unbegun(self, file: Path) -> None:
        """Removes the folder where nothing was begun in it."""
        with contextlib.suppress(OSError):
            if not file.exists():
                (self.path / ".lock").unlink(missing_ok=True)
                self.path.rmdir()
                self.path.parent.rmdir()


def read_result(run: RunFolder) -> dict[str, Any] | None:
    """How a training ended; None where it has not."""
    path = run.path / "result.json"
    return _read(path, ("state",)) if path.exists() else None


def write_result(run: RunFolder, result: Mapping[str, Any]) -> None:
    """Writes down how a training ended; its last checkpoint is needed no longer."""
    write_json(run.path / "result.json", result)
    run.last.unlink(missing_ok=True)


def _read(path: Path, parts: tuple[str, ...]) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict) and all(part in found for part in parts):
            return found
    raise UserError(
        f"{path} is not what a comparison writes.",
        "Remove it, or begin another comparison with --name.",
    )


def _refuse_another(name: str, begun: Mapping[str, Any], described: Mapping[str, Any]) -> None:
    """Raises UserError where a comparison is not what one wants to join."""
    remedy = "Give the same, or begin another comparison with --name."
    plain = json.loads(json.dumps(described))
    for what, ours in plain.items():
        theirs = begun.get(what)
        if what == "settings" or theirs == ours:
            continue
        other, given = _in_words(theirs, ours)
        raise UserError(
            f"The comparison {name} was begun with other {what}: {other} and not {given}.", remedy
        )
    for setting, value in plain["settings"].items():
        if begun["settings"].get(setting, value) != value:
            raise UserError(
                f"The comparison {name} was begun with {setting} {begun['settings'][setting]}, "
                f"not {value}.",
                remedy,
            )


def _in_words(theirs: Any, ours: Any) -> tuple[str, str]:
    """Two values that differ, as far as they do."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = [key for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)]
        both = ([f"{key} {_short(value.get(key))}" for key in keys] for value in (theirs, ours))
        other, given = map(", ".join, both)
        return other, given
    if isinstance(theirs, list) and isinstance(ours, list):
        names, our_names = ([cell["name"] for cell in value] for value in (theirs, ours))
        if names != our_names:
            return ", ".join(names), ", ".join(our_names)
        at = next(i for i, cell in enumerate(theirs) if cell != ours[i])
        other, given = _in_words(theirs[at], ours[at])
        return f"{names[at]} of {other}", given
    return _short(theirs), _short(ours)


def _short(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) < 40 else f"{text[:12]}..."
