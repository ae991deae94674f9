"""A run's folder: settings, metrics, samples and checkpoints of one training.

runs/<corpus>-<cell>/
    run.json                what was trained, on what, with which settings
    metrics.jsonl           one line an event
    samples.txt             what the network wrote on the way
    checkpoints/            last.safetensors, best.safetensors
runs/.<name>.replaced/      the run of that name, until the one that replaces it has a checkpoint
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from textgen.contracts.errors import UserError, unknown_name
from textgen.storage import append_line, explained, write_json, write_text

RUNS = Path("runs")
_NAME = re.compile(r"[^\w.-]+")
_PARTS = ("cell", "corpus", "settings")
"""What ``run.json`` tells of, each in an object."""

_SAMPLE = re.compile(r"^--- after (\d+) steps\n", re.MULTILINE)


class RunFolder:
    """Reads and writes the files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def last(self) -> Path:
        return self.path / "checkpoints" / "last.safetensors"

    @property
    def best(self) -> Path:
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def weights(self) -> Path:
        """The checkpoint of the best weights so far, else of the last."""
        return self.best if self.best.exists() else self.last

    def write_description(self, description: dict[str, Any]) -> None:
        write_json(self.path / "run.json", description)

    def description(self) -> dict[str, Any]:
        """What ``run.json`` says. Raises UserError where this is no run."""
        try:
            described: dict[str, Any] = json.loads(
                (self.path / "run.json").read_text(encoding="utf-8")
            )
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.path} is no run: {error}.", "textgen runs lists them."
            ) from None
        told = described if isinstance(described, dict) else {}
        if not all(isinstance(told.get(part), dict) for part in _PARTS):
            raise UserError(
                f"{self.path} is no run: run.json does not say what it trained.",
                "textgen runs lists them.",
            )
        return described

    def add_metrics(self, metrics: dict[str, Any]) -> None:
        append_line(self.path / "metrics.jsonl", json.dumps(metrics))

    def metrics(self) -> list[dict[str, Any]]:
        """All metrics; a line that a crash cut short is left out."""
        found = []
        path = self.path / "metrics.jsonl"
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError):
                    metrics = json.loads(line)
                    if isinstance(metrics, dict):
                        found.append(metrics)
        return found

    def add_sample(self, step: int, text: str) -> None:
        append_line(self.path / "samples.txt", f"--- after {step} steps\n{text}\n")

    def forget_after(self, step: int) -> None:
        """Takes out the metrics and samples of later steps."""
        kept = [line for line in self.metrics() if line.get("step", 0) <= step]
        write_text(self.path / "metrics.jsonl", "".join(f"{json.dumps(line)}\n" for line in kept))
        samples = self.path / "samples.txt"
        if samples.exists():
            parts = _SAMPLE.split(samples.read_bytes().decode("utf-8"))
            pairs = zip(parts[1::2], parts[2::2], strict=True)
            texts = [f"--- after {at} steps\n{text}" for at, text in pairs if int(at) <= step]
            write_text(samples, "".join(texts))

    def forget_unbegun(self) -> None:
        """Removes the folder where no step was taken: there is nothing in it to keep."""
        if not self.metrics() and not self.weights.exists():
            shutil.rmtree(self.path, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the run for one training. Raises UserError where another has it."""
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"Another training is at work in {self.path}.", "Wait for it, or use --name."
            ) from None
        try:
            # what a training that was killed had not finished writing
            for left in self.path.glob("checkpoints/.*.part"):
                left.unlink(missing_ok=True)
            yield
        finally:
            lock.release()


def new_run(corpus: str, cell: str, *, name: str | None, force: bool, runs: Path) -> RunFolder:
    """A new folder, claimed by making it: ``<corpus>-<cell>``, then ``-2``, ``-3``.

    A ``name`` that exists is refused with UserError. With ``force`` its run is put aside until
    ``settle_replaced``; one without a checkpoint is removed.
    """
    if name is not None:
        check_free(name, force=force, runs=runs)
        path = runs / name
        if path.exists():
            with RunFolder(path).locked():
                pass
            with explained(path):
                if RunFolder(path).weights.exists():
                    path.replace(_aside(path))
                else:
                    shutil.rmtree(path)
        return RunFolder(path)
    base = base_name(corpus, cell)
    number = 1
    while True:
        path = runs / (base if number == 1 else f"{base}-{number}")
        with explained(path), suppress(FileExistsError):
            path.mkdir(parents=True)
            return RunFolder(path)
        number += 1


def check_free(name: str, *, force: bool, runs: Path) -> None:
    """Raises UserError where ``new_run`` would refuse the ``name``."""
    check_name(name, "run")
    settle_replaced(runs / name)
    if name == "model":
        raise UserError(
            "A run cannot be named model: exported/model.onnx is always the newest.",
            "Choose another name.",
        )
    if (runs / name).exists() and not force:
        raise UserError(f"The run {runs / name} exists.", "Choose another name, or add --force.")


def settle_replaced(path: Path) -> bool:
    """Ends what ``new_run`` began with ``force``, once the training in ``path`` is over.

    The run that was put aside is removed where the new one has a checkpoint; where it has none, for
    it failed or was killed before, the old one is put back, and True returned. Raises UserError
    where a training is still at work.
    """
    old, new = _aside(path), RunFolder(path)
    if not old.is_dir():
        return False
    if path.exists():
        with new.locked():
            pass
    with explained(path):
        if new.weights.exists():
            shutil.rmtree(old)
            return False
        if path.exists():
            shutil.rmtree(path)
        old.replace(path)
    return True


def _aside(path: Path) -> Path:
    return path.parent / f".{path.name}.replaced"


def base_name(corpus: str, cell: str) -> str:
    """``<corpus>-<cell>``, as a folder can be named."""
    return _NAME.sub("-", f"{corpus}-{cell}").strip("-.")


def check_name(name: str, what: str) -> None:
    """Raises UserError for a ``name`` that cannot be that of a run's folder, or ``what`` it is."""
    if not name or _NAME.search(name) or name.startswith("."):
        raise UserError(f"{name!r} cannot name a {what}.", "Use letters, digits, - and _.")


def find_run(name: str, runs: Path = RUNS) -> RunFolder:
    """The run in the folder ``name``, or of that name in ``runs``."""
    for path in (Path(name), runs / name):
        with suppress(UserError):  # a training at work settles it itself
            settle_replaced(path)
        if (path / "run.json").is_file():
            return RunFolder(path)
    raise unknown_name("run", name, [run.name for run in all_runs(runs)])


def all_runs(runs: Path = RUNS) -> list[RunFolder]:
    """The runs in ``runs``, newest first."""
    # what is put aside begins with a dot, as no run's name does
    found = [path.parent for path in runs.glob("[!.]*/run.json")]
    return [
        RunFolder(path) for path in sorted(found, key=lambda p: p.stat().st_mtime, reverse=True)
    ]
