"""A training that is interrupted and resumed is bit for bit the one that is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from everything import EVERYTHING, SMALL, trainer_of
from watching import Remember, StopAt

import textgen
from awkward.cells import Leaky
from soak import count
from textgen.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from textgen.training.observer import Started
from textgen.training.run_folder import RunFolder

INTERRUPTIONS = 12
SELDOM = {"sample_every": 50, "evaluate_every": 40, "checkpoint_every": 1000}


def assert_same(one, other):
    """The last checkpoints of two folders, and what was written on the way."""
    a, b = (read_checkpoint(RunFolder(folder).last) for folder in (one, other))
    assert a.tensors.keys() == b.tensors.keys()
    assert [
        name for name, tensor in a.tensors.items() if not torch.equal(tensor, b.tensors[name])
    ] == []
    assert a.values | {"seconds": 0} == b.values | {"seconds": 0}
    kept = [
        [m for m in RunFolder(folder).metrics() if "validation" in m] for folder in (one, other)
    ]
    assert kept[0] == kept[1]
    assert (one / "samples.txt").read_bytes() == (other / "samples.txt").read_bytes()


@pytest.mark.parametrize(
    ("options", "steps"),
    [(SMALL | {"dropout": 0.3}, 200), (EVERYTHING, count(40, 200))],  # zoneout is slow
    ids=["plain", "all"],
)
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_interrupted_twelve_times(cell, options, steps, verses, tmp_path, monkeypatch):
    monkeypatch.setattr("textgen.training.meter._SECONDS", 0.0)
    corpus = textgen.open_corpus(verses)
    options = {**options, **SELDOM, "steps": steps}
    straight = trainer_of(corpus, cell, tmp_path / "straight", **options).run()
    random = np.random.default_rng(0)
    places = sorted(random.choice(np.arange(1, steps - 1), INTERRUPTIONS, replace=False).tolist())
    for turn, place in enumerate([*places, None]):
        watcher = None if place is None else StopAt(place)
        trainer = trainer_of(corpus, cell, tmp_path / "pieces", watcher, **options)
        if turn:
            trainer.resume()
        pieces = trainer.run()
        assert (pieces.interrupted is None) == (place is None)
    assert_same(tmp_path / "straight", tmp_path / "pieces")
    assert pieces.losses == straight.losses
    assert pieces.weights_of_step == straight.weights_of_step


@pytest.mark.parametrize("budget", [{"steps": 40}, {"tokens": 1500}, {"epochs": 0.7}])
def test_whatever_the_budget_and_the_documents(budget, names, tmp_path):
    corpus = textgen.open_corpus(names)
    options = {**SMALL, **SELDOM, **budget}
    trainer_of(corpus, "gru", tmp_path / "straight", **options).run()
    for turn, until in enumerate((5, 11, None)):
        trainer = trainer_of(corpus, "gru", tmp_path / "pieces", **options)
        if turn:
            trainer.resume()
        trainer.run(until)
    assert_same(tmp_path / "straight", tmp_path / "pieces")


class Forgetful(Leaky):
    """Counts its scans in an attribute, which no checkpoint holds."""

    scans = 0

    def scan(self, xs, state):
        self.scans += self.training
        ys, state = super().scan(xs, state)
        return ys * (1 + 0.01 * self.scans), state


def test_it_is_verified_on_the_spot(verses, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = textgen.api.verify_resume(verses, cell="lstm", dropout=0.3, **SMALL)
    assert (found.exact, found.interruptions, found.largest) == (True, 3, 0.0)
    found = textgen.api.verify_resume(verses, cell=Forgetful, **SMALL)
    assert not found.exact
    assert "weights.head.weight" in found.differing
    assert found.largest > 0
    assert list(tmp_path.iterdir()) == []


def test_another_precision_or_machine_is_said(verses, tmp_path):
    corpus = textgen.open_corpus(verses)
    options = {**SMALL, "steps": 6}
    trainer_of(corpus, "rnn", tmp_path / "run", **options).run(2)
    path = RunFolder(tmp_path / "run").last
    checkpoint = read_checkpoint(path)
    there = checkpoint.values["circumstances"] | {"torch": "2.10.0", "device": "cuda"}
    values = checkpoint.values | {"circumstances": there}
    write_checkpoint(path, Checkpoint(checkpoint.tensors, values))
    seen = Remember()
    trainer = trainer_of(
        corpus, "rnn", tmp_path / "run", seen, **options | {"precision": "bfloat16"}
    )
    trainer.resume()
    trainer.run()
    said = seen.last(Started).notices[-1]
    for words in ("device cuda to cpu", "precision float32 to bfloat16", "torch 2.10.0 to"):
        assert words in said
    assert seen.last(Started).precision == "bfloat16"


def test_the_same_machine_is_not_remarked_on(verses, tmp_path):
    corpus = textgen.open_corpus(verses)
    trainer_of(corpus, "rnn", tmp_path / "run", steps=6, **SMALL).run(2)
    seen = Remember()
    trainer = trainer_of(corpus, "rnn", tmp_path / "run", seen, steps=6, **SMALL)
    trainer.resume()
    trainer.run()
    assert not any("interrupted" in notice for notice in seen.last(Started).notices)
