"""Optimizers as plugins: each resumes bit for bit, or is refused before anything is learnt."""

from __future__ import annotations

import json

import pytest
import torch
from everything import SMALL, setup_of, trainer_of
from test_exact_resume import assert_same
from torch.autograd.function import once_differentiable
from watching import Remember

import textgen
from awkward.cells import FastWeights, Leaky, LearnedStart
from awkward.optimizers import (
    Beside,
    Curved,
    Global,
    Hoarding,
    NoOptimizer,
    Symmetric,
    Unbuildable,
    unkept,
)
from textgen import model_file, runs
from textgen.contracts.errors import PluginError, UserError
from textgen.presets import find_preset
from textgen.registry import discover
from textgen.training.checkpoint import read_checkpoint
from textgen.training.learner import Learner
from textgen.training.observer import Started
from textgen.training.optimizers import build_optimizer
from textgen.training.ranks import Ranks
from textgen.training.run_folder import RunFolder
from textgen.training.settings import build_settings

BUNDLED = [entry.name for entry in discover().entries("optimizer") if entry.bundled]


def small(name, **options):
    own = {"momentum": 0.5} if name in ("sgd", "rmsprop") else {}
    return {**SMALL, "optimizer": name, "optimizer_options": own, "dropout": 0.2, **options}


@pytest.mark.parametrize("optimizer", [*BUNDLED, Curved])
def test_it_resumes_bit_for_bit(optimizer, verses, tmp_path):
    corpus = textgen.open_corpus(verses)
    options = small(optimizer, steps=24, evaluate_every=8, sample_every=50, checkpoint_every=1000)
    trainer_of(corpus, "lstm", tmp_path / "straight", **options).run()
    for turn, until in enumerate((1, 9, 15, None)):
        trainer = trainer_of(corpus, "lstm", tmp_path / "pieces", **options)
        if turn:
            trainer.resume()
        trainer.run(until)
    assert_same(tmp_path / "straight", tmp_path / "pieces")
    if optimizer is Curved:
        values = read_checkpoint(RunFolder(tmp_path / "pieces").last).values["optimizer"]
        assert values["group0.turns"] == 24 and values["group0.note"] == "after 24"


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", FastWeights, LearnedStart, Leaky])
def test_second_derivatives_are_those_of_one_function(cell, verses, tmp_path):
    """u H v is v H u, whatever the cell; clipping changes nothing of it."""
    Symmetric.seen.clear()
    corpus = textgen.open_corpus(verses)
    options = {"steps": 3, "layers": 2, "clip": 1e-3, "clip_entries": 1e-4, "evaluate_every": 100}
    trainer_of(corpus, cell, tmp_path / "run", optimizer=Symmetric, **SMALL, **options).run()
    assert len(Symmetric.seen) == 3
    for one, other in Symmetric.seen:
        assert one == pytest.approx(other, rel=1e-3, abs=1e-5)
        assert abs(one) > 1e-4


class Once(torch.autograd.Function):
    """A kernel with a backward pass of its own, of which there is no derivative."""

    @staticmethod
    def forward(ctx, xs, weight):
        ctx.save_for_backward(xs, weight)
        return torch.tanh(xs @ weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        xs, weight = ctx.saved_tensors
        inner = gradient * (1 - torch.tanh(xs @ weight) ** 2)
        return inner @ weight.t(), xs.flatten(0, 1).t() @ inner.flatten(0, 1)


class OnceCell(Leaky):
    """Its fast path can be derived once."""

    def scan(self, xs, state):
        ys, state = super().scan(xs, state)
        return Once.apply(ys, torch.eye(ys.shape[-1])) * 0 + ys, state


def test_cells_are_stepped_where_a_kernel_has_no_second_derivative(verses, tmp_path):
    seen = Remember()
    corpus = textgen.open_corpus(verses)
    options = {**SMALL, "steps": 2}
    trainer_of(corpus, OnceCell, tmp_path / "a", seen, optimizer=Curved, **options).run()
    assert "step by step" in seen.last(Started).notices[-1]
    trainer_of(corpus, OnceCell, tmp_path / "b", seen, **options).run()
    assert not any("step by step" in notice for notice in seen.last(Started).notices)


def test_several_ranks_cannot_take_second_derivatives(verses):
    corpus = textgen.open_corpus(verses)
    setup = setup_of(corpus, "rnn", optimizer=Curved, **SMALL)
    network = runs.fresh_network(setup)
    with pytest.raises(UserError, match="several ranks cannot") as refused:
        Learner(network, corpus, setup.settings, setup.optimizer, Ranks(0, 2))
    assert "torchrun" in refused.value.remedy


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (unkept(Hoarding), "keeps a list as history"),
        (unkept(Global), "'turns', which is of no parameter"),
        (unkept(Beside), "random beside its state"),
        (Unbuildable, "ValueError: no such luck"),
        (NoOptimizer, "42 is no torch"),
    ],
)
def test_what_no_checkpoint_can_hold_is_refused_before_there_is_a_run(
    optimizer, said, verses, tmp_path
):
    with pytest.raises(PluginError, match=said) as refused:
        textgen.train(verses, optimizer=optimizer, steps=9, folder=tmp_path, **SMALL)
    assert "\n" not in refused.value.problem and refused.value.remedy
    assert not list((tmp_path / "runs").glob("*"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimizer": "sdg"}, "no optimizer named 'sdg'"),
        ({"optimizer_options": {"momentum": 0.5}}, "option of the optimizer 'adamw'"),
        ({"optimizer": "sgd", "optimizer_options": {"momentum": 1}}, "cannot be 1"),
        ({"optimizer": "adagrad", "optimizer_options": {"weight_decay": -1}}, "cannot be -1"),
    ],
)
def test_names_and_options_that_cannot_be_meant(given, said, verses, tmp_path):
    with pytest.raises(UserError, match=said):
        textgen.train(verses, folder=tmp_path, **given)
    assert list(tmp_path.iterdir()) == []


def test_options_reach_torch():
    registry, layer = discover(), torch.nn.Linear(2, 2)

    def built(name, **options):
        chosen = runs.choose_optimizer(name, options, registry)
        (group,) = build_optimizer(layer, chosen, build_settings({})).param_groups
        return group

    assert built("adamw", beta1=0.8, weight_decay=0.1)["betas"] == (0.8, 0.99)
    assert built("adamw", weight_decay=0.1)["weight_decay"] == 0.1
    assert built("adam", beta2=0.9)["betas"] == (0.9, 0.9)
    assert (built("rmsprop", alpha=0.9)["alpha"], built("sgd", momentum=0.3)["momentum"]) == (
        0.9,
        0.3,
    )
    assert built("adagrad", weight_decay=0.2)["weight_decay"] == 0.2
    assert built(None)["lr"] == build_settings({}).learning_rate


@pytest.fixture(scope="module")
def run(verses, tmp_path_factory):
    options = {"optimizer": "rmsprop", "optimizer_options": {"alpha": "0.9"}, "steps": 2}
    folder = tmp_path_factory.mktemp("run")
    return textgen.train(verses, folder=folder, **options, **SMALL)


@pytest.fixture
def described(run, tmp_path):
    """Puts the run where another description of it is read, and reads it."""

    def read(change):
        description = json.loads((run.folder / "run.json").read_text())
        (tmp_path / "run.json").write_text(json.dumps(change(description)))
        return runs.read_setup(RunFolder(tmp_path), None, discover())

    return read


def test_it_is_written_down_in_run_and_model(run):
    told = json.loads((run.folder / "run.json").read_text())["optimizer"]
    options = {"alpha": 0.9, "momentum": 0.0, "weight_decay": 0.0}
    assert (told["name"], told["options"]) == ("rmsprop", options)
    assert told["distribution"] == "textgen-toolkit"
    assert model_file.read(run.model).info.training["optimizer"] == told


def test_an_optimizer_that_is_gone_names_its_distribution(described):
    gone = {"name": "lion", "distribution": "textgen-lion"}
    with pytest.raises(UserError, match="lion") as refused:
        described(lambda told: told | {"optimizer": told["optimizer"] | gone})
    assert "textgen-lion; install it" in refused.value.remedy
    own = {"name": "rmsprop", "distribution": ""}
    with pytest.raises(UserError, match="rmsprop of a program"):
        described(lambda told: told | {"optimizer": told["optimizer"] | own})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adamw", {"beta1": 0.8, "beta2": 0.95, "weight_decay": 0.01}),
        ("rmsprop", {"alpha": 0.95, "momentum": 0.3, "weight_decay": 0.01}),
        ("adagrad", {"weight_decay": 0.01}),
        ("sgd", {"momentum": 0.3, "weight_decay": 0.01}),
    ],
)
def test_runs_of_the_second_format_have_options_among_their_settings(name, options, described):
    """Those of all optimizers, whichever the run had."""

    def as_second(told):
        del told["optimizer"]
        old = {"beta1": 0.8, "beta2": 0.95, "momentum": 0.3, "weight_decay": 0.01}
        return told | {"format": 2, "settings": told["settings"] | old | {"optimizer": name}}

    setup = described(as_second)
    assert setup.optimizer == runs.choose_optimizer(name, options, discover())
    assert setup.settings.optimizer == name


def test_runs_from_before_weights_decayed_go_on_without(described):
    def early(told):
        del told["optimizer"]
        return told | {"format": 2, "settings": told["settings"] | {"optimizer": "adamw"}}

    assert described(early).optimizer.options.weight_decay == 0.0


def test_a_preset_has_options_for_its_own_optimizer_alone():
    preset = find_preset("char-rnn")
    assert preset.options_of("rmsprop") == {"alpha": 0.95}
    assert preset.options_of("adam") == {}


def test_resuming_is_verified_with_second_derivatives(verses, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = textgen.api.verify_resume(verses, cell="gru", optimizer=Curved, **SMALL)
    assert found.exact
