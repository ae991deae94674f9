"""Proof that a training can be interrupted: the same steps straight and in pieces, bit by bit."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from textgen.chosen import Chosen
from textgen.contracts.optimizer import Optimizer
from textgen.corpus.packed import PackedCorpus
from textgen.training.checkpoint import Checkpoint, read_checkpoint
from textgen.training.network import Network
from textgen.training.observer import Observer
from textgen.training.run_folder import RunFolder
from textgen.training.settings import BUDGETS, Settings, build_settings, settings_dict
from textgen.training.trainer import Trainer

STEPS = 24
PIECES = 4


@dataclass(frozen=True)
class Verified:
    """What came of a straight and an interrupted training."""

    steps: int
    interruptions: int
    device: str
    precision: str
    differing: tuple[str, ...]
    """Names of the tensors and values of the last checkpoint that differ."""
    largest: float
    """The largest difference of a number in them."""

    @property
    def exact(self) -> bool:
        return not self.differing


def verify_resume(
    corpus: PackedCorpus,
    fresh_network: Callable[[], Network],
    settings: Settings,
    optimizer: Chosen[Optimizer],
) -> Verified:
    """Trains ``STEPS`` steps straight, and again in ``PIECES`` pieces, each resumed from the
    checkpoint of the one before by a trainer of its own. Nothing is left behind.

    ``fresh_network`` returns the network of the settings, and puts torch's generator where the
    seed does.
    """
    given = {name: value for name, value in settings_dict(settings).items() if name not in BUDGETS}
    few = build_settings(
        {**given, "steps": STEPS, "sample_every": STEPS, "checkpoint_every": STEPS}
    )
    with tempfile.TemporaryDirectory(prefix="textgen-") as scratch:
        straight, pieces = (RunFolder(Path(scratch) / name) for name in ("straight", "pieces"))
        plan = Trainer(corpus, fresh_network(), few, optimizer, straight, Observer()).run().plan
        few = replace(few, precision=plan.precision)  # both in that which was found the faster
        for piece in range(1, PIECES + 1):
            trainer = Trainer(corpus, fresh_network(), few, optimizer, pieces, Observer())
            if piece > 1:
                trainer.resume()
            trainer.run(until=STEPS * piece // PIECES)
        differing, largest = _compared(*(read_checkpoint(run.last) for run in (straight, pieces)))
    return Verified(STEPS, PIECES - 1, plan.device, plan.precision, differing, largest)


def _compared(one: Checkpoint, other: Checkpoint) -> tuple[tuple[str, ...], float]:
    """What differs between two checkpoints, time left out, and by how much at most."""
    differing, largest = [], 0.0
    for name in sorted(one.tensors.keys() | other.tensors.keys()):
        a, b = one.tensors.get(name), other.tensors.get(name)
        if a is None or b is None or not torch.equal(a, b):
            differing.append(name)
        if a is not None and b is not None and a.shape == b.shape:
            largest = max(largest, float((a.double() - b.double()).abs().max()))
    for name in sorted(one.values.keys() | other.values.keys()):
        if name != "seconds" and one.values.get(name) != other.values.get(name):
            differing.append(name)
    return tuple(differing), largest
