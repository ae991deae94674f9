"""Some trainings one after the other, for torchrun to start: FOLDER, then names of RUNS.

Nothing is exported.
"""

from __future__ import annotations

import sys
from pathlib import Path

from everything import trainer_of

import textgen
from textgen.training import meter
from textgen.training.ranks import joined, launched_ranks

SIZES = {"hidden_size": 24, "batch_size": 8, "sequence_length": 12, "precision": "float32"}
NOISE = {
    "dropout": 0.2,
    "input_dropout": 0.1,
    "embedding_dropout": 0.1,
    "weight_drop": 0.2,
    "zoneout": 0.1,
    "label_smoothing": 0.05,
    "activation_penalty": 2.0,
    "slowness_penalty": 1.0,
    "average": 0.95,
    "reset_probability": 0.2,
}
MOMENTUM = {"optimizer": "sgd", "optimizer_options": {"momentum": 0.9}, "learning_rate": 0.02}
VERSES = {**SIZES, "steps": 100, "checkpoint_every": 5, "reset_probability": 0.1}
RUNS = {
    "verses": ("verses.txt", VERSES),
    "locked": ("verses.txt", {**SIZES, "steps": 8, "dropout": 0.2, "locked_dropout": True}),
    "noise": ("verses.txt", {**SIZES, **NOISE, "steps": 12}),
    "names": ("names.txt", {**SIZES, "steps": 40, "label_smoothing": 0.05}),
    "momentum": ("verses.txt", {**SIZES, "steps": 8, **MOMENTUM}),
    "minutes": ("names.txt", {**SIZES, "minutes": 0.01, "precision": "auto"}),
}


def train(folder: Path, name: str) -> None:
    """Trains into ``folder / name``; the texts are in there, too."""
    text, options = RUNS[name]
    corpus = textgen.open_corpus(folder / text)
    ranks = launched_ranks("auto", options["batch_size"])
    with joined(ranks):
        trainer_of(corpus, "lstm", folder / name, ranks=ranks, **options).run()


if __name__ == "__main__":
    meter._SECONDS = 0.0  # every loss is written down
    for name in sys.argv[2:]:
        train(Path(sys.argv[1]), name)
