"""What a step on a GPU must not do: mix tensors of two devices, or wait for a number.

The meta device has shapes and no values: both raise there, on any machine.
"""

from __future__ import annotations

import contextlib

import pytest
import torch

import textgen
from awkward.cells import FastWeights, Leaky, LearnedStart, WideOutput
from textgen import runs
from textgen.contracts.cell import Layer
from textgen.registry import discover
from textgen.training import learner as learning
from textgen.training.checkpoint import pack_random, unpack_random
from textgen.training.feeding import MappedFeed, ResidentFeed
from textgen.training.settings import build_settings

META = torch.device("meta")
SIZES = {"hidden_size": 8, "batch_size": 4, "sequence_length": 8}
SETTINGS = [
    {},
    {"embedding_size": 0, "locked_dropout": True, "input_dropout": 0.1, "average": 0.9},
    {"layers": 2, "embedding_dropout": 0.1, "weight_drop": 0.1, "layer_norm": True},
    {"layers": 2, "connection": "highway", "label_smoothing": 0.1, "activation_penalty": 1.0},
    {"embedding_size": 8, "tie_weights": True, "slowness_penalty": 1.0, "clip_entries": 1.0},
    {"zoneout": 0.1, "reset_probability": 0.5},
]


def learner_on_meta(cell, verses, monkeypatch, *, optimizer="sgd", feed=MappedFeed, **settings):
    monkeypatch.setattr(learning, "autocast", lambda *given: contextlib.nullcontext())
    monkeypatch.setattr(learning, "build_feed", feed)
    registry = discover()
    setup = runs.Setup(
        textgen.open_corpus(verses),
        runs.choose_cell(cell, {}, registry),
        build_settings(SIZES | settings),
        runs.choose_optimizer(optimizer, {}, registry),
    )
    network = runs.fresh_network(setup).to(META).train()
    return learning.Learner(network, setup.corpus, setup.settings, setup.optimizer)


def step(learner):
    """Two steps, the second with the state of the first."""
    for _ in range(2):
        loss, symbols = learner.step(1e-3, "float32")
        assert loss.device == META and symbols


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda given: " ".join(given) or "defaults")
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_step_stays_on_its_device(cell, settings, verses, monkeypatch):
    step(learner_on_meta(cell, verses, monkeypatch, **settings))


@pytest.mark.parametrize("cell", [FastWeights, Leaky, LearnedStart, WideOutput])
def test_a_step_of_any_cell_stays_on_its_device(cell, verses, monkeypatch):
    step(learner_on_meta(cell, verses, monkeypatch))


def test_a_text_that_lies_on_the_device_is_read_there(verses, monkeypatch):
    step(learner_on_meta("gru", verses, monkeypatch, feed=ResidentFeed))


@pytest.mark.parametrize("optimizer", ["adagrad", "rmsprop"])  # fused ones know no meta device
def test_an_optimizer_stays_on_its_device(optimizer, verses, monkeypatch):
    step(learner_on_meta("gru", verses, monkeypatch, optimizer=optimizer))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_kernels_compute_in_the_type_that_was_asked_for(cell):
    """Not in float16, which autocast gives to cuDNN's."""
    made = discover().load("cell", cell)(Layer(4, 8)).cuda()
    xs = torch.randn(5, 2, 4, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        ys, _ = made.scan(xs, made.initial_state(2))
    assert ys.dtype == torch.bfloat16
    torch.autograd.backward(ys.float().sum())
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in made.parameters())


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_checkpoint_has_the_random_numbers_of_its_device(kind, monkeypatch):
    """Of a device that is not here, a generator of the CPU stands for its own."""
    device, stand_in = torch.device(kind), torch.Generator()
    module = torch.get_device_module(kind)
    here = module.is_available()
    if not here:
        monkeypatch.setattr(module, "get_rng_state", lambda _: stand_in.get_state())
        monkeypatch.setattr(module, "set_rng_state", lambda state, _: stand_in.set_state(state))

    def draw():
        return torch.rand(3, device=device) if here else torch.rand(3, generator=stand_in)

    begun = pack_random(device)
    drawn = draw()
    assert not torch.equal(draw(), drawn)
    unpack_random(begun, device)
    assert torch.equal(draw(), drawn)
    unpack_random({"random.cpu": begun["random.cpu"]}, device)  # as of a run begun on the CPU
