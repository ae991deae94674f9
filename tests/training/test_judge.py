"""The judge: weights are chosen by text held back from training, never by the validation text."""

from __future__ import annotations

import json
import math
import random

import pytest
import torch
from watching import Remember, StopAt

import textgen
from textgen import model_file
from textgen.registry import discover
from textgen.runs import choose_optimizer
from textgen.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from textgen.training.evaluation import Evaluator
from textgen.training.judge import Judge
from textgen.training.learner import Learner
from textgen.training.network import build_network
from textgen.training.observer import Evaluated
from textgen.training.settings import build_settings

SMALL = {"hidden_size": 16, "batch_size": 8, "sequence_length": 16, "precision": "float32"}


@pytest.fixture(scope="module")
def overfitted(tmp_path_factory):
    """A run over text in which there is nothing to learn but by heart: it is worse at the end."""
    folder = tmp_path_factory.mktemp("overfitted")
    letters = random.Random(0)
    path = folder / "noise.txt"
    path.write_text("".join(letters.choice("abcdefgh") for _ in range(4_000)), encoding="utf-8")
    seen = Remember()
    run = textgen.train(
        path,
        **{**SMALL, "hidden_size": 64, "batch_size": 16},
        steps=250,
        learning_rate=0.02,
        dropout=0.0,
        folder=folder,
        observer=seen,
        corpus_options={"split_sizes": (80, 10, 10)},
    )
    return run, seen.all(Evaluated)


def test_the_weights_that_predict_the_text_held_back_are_kept(overfitted):
    run, seen = overfitted
    best = min(seen, key=lambda event: event.held_back.nats)
    assert best.step < run.steps
    assert [event for event in seen if event.best][-1] is best
    training = model_file.read(run.model).info.training
    assert (training["weights_of_step"], training["chosen_by"]) == (best.step, "held back")
    assert read_checkpoint(run.folder / "checkpoints" / "best.safetensors").values == {
        "format": 2,
        "step": best.step,
        "chosen_by": "held back",
    }


def test_the_figures_are_of_the_weights_kept(overfitted):
    run, seen = overfitted
    kept = next(event for event in seen if event.step == min(seen, key=_held_back).step)
    assert run.losses["cold"]["nats"] == pytest.approx(kept.validation.nats)
    assert run.losses["held_back"]["nats"] == kept.held_back.nats
    lowest = min(event.validation.nats for event in seen)
    assert run.losses["nanogpt"]["nats"] == lowest <= run.losses["cold"]["nats"]
    assert run.losses["nanogpt"]["bits"] == pytest.approx(lowest / math.log(2))
    assert model_file.read(run.model).info.losses == run.losses


def _held_back(event):
    return event.held_back.nats


def test_nothing_that_is_held_back_is_learnt(verses):
    corpus = textgen.open_corpus(verses)
    settings = build_settings({**SMALL, "steps": 1})
    cell = discover().load("cell", "rnn")
    network = build_network(corpus.vocabulary.size, cell, None, settings)
    learner = Learner(network, corpus, settings, choose_optimizer(None, {}, discover()))
    (held,) = learner.held_back.tolist()
    (train,) = corpus.spans("train").tolist()
    assert train[0] < held[0] < held[1] < train[1]
    learnt = set()
    streams = learner.streams
    while streams.epoch < 1.2:
        starts, ends, _ = streams._order.advance(16)
        streams.shown += int((ends - starts).sum())
        for start, end in zip(starts, ends, strict=True):
            learnt |= set(range(start, end))
    assert learnt == set(range(*train)) - set(range(*held))


def test_without_text_held_back_the_last_weights_are_kept(verses, tmp_path):
    seen = Remember()
    run = textgen.train(verses, steps=20, hold_back=False, folder=tmp_path, observer=seen, **SMALL)
    assert all(event.held_back is None and not event.best for event in seen.all(Evaluated))
    assert run.losses.keys() == {"cold", "carried", "nanogpt"}
    training = model_file.read(run.model).info.training
    assert (training["weights_of_step"], training["chosen_by"]) == (20, "")
    assert not (run.folder / "checkpoints" / "best.safetensors").exists()


def test_without_a_validation_text_weights_are_chosen_all_the_same(verses, tmp_path):
    run = textgen.train(
        verses,
        steps=20,
        folder=tmp_path,
        corpus_options={"split_sizes": (100, 0, 0)},
        **SMALL,
    )
    assert run.losses.keys() == {"held_back"}
    assert model_file.read(run.model).info.training["chosen_by"] == "held back"


def test_it_remembers_what_it_has_seen(verses):
    corpus = textgen.open_corpus(verses)
    torch.manual_seed(0)
    cell = discover().load("cell", "rnn")
    network = build_network(corpus.vocabulary.size, cell, None, build_settings(SMALL))
    start = int(corpus.spans("train")[0, 0])
    held = corpus.spans("train")[:1].copy()
    held[0] = start + 500, start + 1500
    first, second = Judge(corpus, held), Judge(corpus, held)
    evaluated = first.judge(network, 5)
    expected = Evaluator(corpus.ids, held, corpus.vocabulary.boundary).cold(network)
    assert evaluated.held_back == expected
    second.restore(json.loads(json.dumps(first.checkpoint())))
    assert not second.judge(network, 6).best
    assert (second.best_step, second.losses(network)) == (5, first.losses(network))


def _as_first_format(folder):
    path = folder / "run.json"
    described = json.loads(path.read_text())
    del described["settings"]["hold_back"]
    path.write_text(json.dumps({**described, "format": 1}))
    last = read_checkpoint(folder / "checkpoints" / "last.safetensors")
    values = {name: value for name, value in last.values.items() if name != "judge"}
    values |= {"format": 1, "best": 0.5, "best_step": 9}
    write_checkpoint(folder / "checkpoints" / "last.safetensors", Checkpoint(last.tensors, values))
    weights = {n: t for n, t in last.tensors.items() if n.startswith("weights.")}
    best = Checkpoint(weights, {"format": 1, "step": 9})
    write_checkpoint(folder / "checkpoints" / "best.safetensors", best)


def test_a_run_of_the_first_format_goes_on_with_all_of_its_text(verses, tmp_path):
    """It had chosen by the validation text: that choice is dropped, the last weights are kept."""
    options = {**SMALL, "steps": 30, "hold_back": False, "folder": tmp_path}
    straight = textgen.train(verses, name="straight", **options)
    old = textgen.train(verses, name="old", observer=StopAt(12), **options)
    assert old.interrupted
    _as_first_format(old.folder)
    whole = textgen.resume("old", folder=tmp_path)
    a, b = (
        read_checkpoint(run.folder / "checkpoints" / "last.safetensors")
        for run in (straight, whole)
    )
    assert all(torch.equal(tensor, b.tensors[name]) for name, tensor in a.tensors.items())
    assert model_file.read(whole.model).info.training["chosen_by"] == ""
