"""Export: nothing is kept that does not compute what the network does, or that tells of where it
was made."""

from __future__ import annotations

import getpass
import re
import socket
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import textgen
from awkward.cells import LearnedStart
from textgen import model_file
from textgen.conformance.check_export import exported_model
from textgen.contracts.errors import TextgenError
from textgen.export.exporter import PARITY, describe, export, parity
from textgen.registry import discover
from textgen.training.network import Network
from textgen.training.regularisation import Regularisation

LSTM = discover().load("cell", "lstm")
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made():
    """A model file and the network it was made of."""
    return exported_model(LSTM)


def test_what_is_exported_is_read_back(made, tmp_path):
    file, network = made
    path = tmp_path / "deep" / "model.onnx"
    report = export(network, file.info, path)
    assert 0 < report.parity.logits <= PARITY
    assert 0 < report.parity.drift <= PARITY
    assert [entry.name for entry in path.parent.iterdir()] == ["model.onnx"]
    found = model_file.read(path)
    assert found.data == file.data
    assert (found.info, found.digest) == (file.info, report.file.digest)


def test_it_may_be_exported_while_it_is_training(made, tmp_path):
    file, _ = made
    noise = Regularisation(dropout=0.5)
    network = Network(LSTM, 11, hidden_size=8, layers=2, embedding_size=6, regularisation=noise)
    network.train()
    assert export(network, file.info, tmp_path / "model.onnx").parity.holds
    assert network.training


class _TwoFaced(LearnedStart):
    """Exports as something else than it is."""

    def step(self, x, state):
        y, (h,) = super().step(x, state)
        return y * (1.001 if torch.compiler.is_exporting() else 1.0), (h,)


class _Drifting(LearnedStart):
    """Exports well but for the state of the batch's other rows."""

    def step(self, x, state):
        y, (h,) = super().step(x, state)
        return y, (h + 0.01 * h.mean(dim=0, keepdim=True),)


class _Diverging(LearnedStart):
    def step(self, x, state):
        y, (h,) = super().step(x, state)
        return y, (torch.log(h),)


@pytest.mark.parametrize(
    ("cell", "found"),
    [(_TwoFaced, r"by \d.* logit"), (_Drifting, r"by \d.* state"), (_Diverging, "by inf")],
)
def test_a_file_that_computes_something_else_is_not_kept(cell, found, tmp_path):
    file, network = exported_model(cell)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the one before")
    with pytest.raises(TextgenError, match=f"differs from the network {found}"):
        export(network, file.info, path)
    assert path.read_bytes() == b"the one before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_refused(made, value, tmp_path):
    file, _ = made
    network = Network(LSTM, 11, hidden_size=8, layers=2, embedding_size=6)
    with torch.no_grad():
        network.cells[1].weight_hh[2, 3] = value
    with pytest.raises(TextgenError, match=r"cells\.1\.weight_hh"):
        export(network, file.info, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["a weight", "an initial state"])
def test_parity_sees_small_changes(made, what):
    """A thousandth is enough."""
    file, network = made
    info, other = file.info, Network(LSTM, 11, hidden_size=8, layers=2, embedding_size=6).eval()
    other.load_state_dict(network.state_dict())
    assert parity(other, info, file.data, 3).holds
    if what == "a weight":
        with torch.no_grad():
            other.cells[0].weight_hh += 1e-3
    else:
        info = replace(info, states=(replace(info.states[0], initial=1e-3), *info.states[1:]))
    found = parity(other, info, file.data, 3)
    assert found.drift > PARITY
    assert found.holds == (what == "an initial state")


def test_describing_names_no_place(trained, verses, tmp_path):
    corpus = textgen.open_corpus(verses)
    elsewhere = replace(corpus, name=str(tmp_path / "folder" / "verses.txt"))
    network = Network(LearnedStart, corpus.vocabulary.size, hidden_size=4)
    info = describe(
        network,
        elsewhere,
        cell="learned-start",
        cell_distribution="awkward",
        cell_options=None,
        losses={},
        training={"steps": 3},
    )
    assert info.corpus["name"] == "verses.txt"
    assert (info.input, info.embedding_size, info.layers) == ("one-hot", 0, 1)
    assert info.training["parameters"] == sum(p.numel() for p in network.parameters())
    (state,) = info.states
    np.testing.assert_array_equal(state.array(2)[1], network.cells[0].start.detach().numpy())
    assert model_file.ModelInfo.from_json(info.to_json()) == info


def test_a_trained_file_tells_nothing_of_the_machine(trained, verses, cache):
    """Row 23: no path, user or host. torch's exporter leaves stack traces and source code."""
    data = trained.model.read_bytes()
    folders = [verses, trained.model, cache, REPOSITORY, Path.home(), Path.cwd(), sys.prefix]
    for folder in {str(Path(f)) for f in folders} | {str(Path(f).parent) for f in folders} - {"/"}:
        assert folder.encode() not in data
    strings = re.findall(rb"[ -~]{6,}", data)
    # of two or three letters, a name may stand in weights by chance
    names = [name for name in (socket.gethostname(), getpass.getuser()) if len(name) > 3]
    for word in names:
        assert not any(re.search(rb"\b%s\b" % re.escape(word.encode()), s) for s in strings)
    for trace in (b"site-packages", b"stack_trace", b"pkg.torch", b".py", b"Traceback", b"forward"):
        assert trace not in data
    assert not any(re.search(rb"(?<![\w\\])/\w+/\w+", s) for s in strings)


def test_a_trained_model_keeps_parity(trained):
    """Sampled steps of a model that has learnt something, not of random weights alone."""
    file = model_file.read(trained.model)
    info = file.info
    network = Network(
        LSTM,
        info.vocabulary.size,
        hidden_size=info.hidden_size,
        layers=info.layers,
        embedding_size=info.embedding_size,
    ).eval()
    weights = {
        tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        for tensor in file.graph().graph.initializer
    }
    network.load_state_dict({name: weights[name] for name in network.state_dict()})
    for batch in (1, 3, 8, 16):
        found = parity(network, info, file.data, batch, steps=200)
        assert found.holds
        assert 0 < found.drift <= PARITY
