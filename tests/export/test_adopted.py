"""Weights of torch's own modules become a model file that computes what they do."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import textgen
from textgen.contracts.errors import UserError

SYMBOLS = ["e", "\n", "a", "é", " ", "t"]
V, D, H = len(SYMBOLS), 4, 8


class Theirs(nn.Module):
    """A character model as one writes it in torch."""

    def __init__(self, kind="LSTM", *, embedding=D, tied=False, bias=True):
        super().__init__()
        torch.manual_seed(0)
        self.kind = kind
        if embedding:
            self.encoder = nn.Embedding(V, embedding)
        self.rnn = getattr(nn, kind)(embedding or V, H, num_layers=2, bias=bias)
        self.decoder = nn.Linear(H, V, bias=bias)
        if tied:
            self.decoder.weight = nn.Parameter(self.encoder.weight.clone())
        for parameter in self.parameters():
            parameter.data.add_(0.3 * torch.randn_like(parameter))

    def logits(self, ids):
        with torch.no_grad():
            one_hot = nn.functional.one_hot(torch.tensor(ids), V).float()
            xs = self.encoder(torch.tensor(ids)) if hasattr(self, "encoder") else one_hot
            return self.decoder(self.rnn(xs)[0]).numpy()


def read(model, ids):
    state, found = model.initial_state(1), []
    for symbol in ids:
        logits, state = model.step(np.array([symbol]), state)
        found.append(logits[0])
    return np.stack(found)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LSTM", {}),
        ("GRU", {"embedding": 0}),
        ("RNN", {"embedding": H, "tied": True}),
        ("GRU", {"embedding": H, "bias": False}),
    ],
)
def test_it_computes_what_torch_does(kind, options, tmp_path):
    theirs = Theirs(kind, **options)
    path = textgen.export_weights(theirs.state_dict(), SYMBOLS, cell=kind.lower(), folder=tmp_path)
    model = textgen.load(path)
    assert model.vocabulary.symbols == (*(s.encode() for s in SYMBOLS), b"")
    boundary, newline = model.vocabulary.boundary, SYMBOLS.index("\n")
    ids = [2, 0, 3, 1, 5, 5]
    found = read(model, [boundary, *ids])  # the boundary is read as a line feed
    expected = theirs.logits([newline, *ids])
    np.testing.assert_allclose(found[:, :V], expected, atol=1e-5)
    assert (found[:, V] < found[:, :V].max(axis=1) - 10).all()
    assert set(model.generate("at", length=200, seed=1).text) <= set(SYMBOLS)


def test_a_boundary_of_their_own_is_the_boundary(tmp_path):
    theirs = Theirs()
    symbols = [*SYMBOLS[:4], "", "t"]
    model = textgen.load(textgen.export_weights(theirs.state_dict(), symbols, folder=tmp_path))
    assert (model.vocabulary.size, model.vocabulary.boundary) == (V, 4)
    np.testing.assert_allclose(read(model, [4, 2, 0]), theirs.logits([4, 2, 0]), atol=1e-5)


def without(name):
    weights = Theirs().state_dict()
    return {key: value for key, value in weights.items() if key != name}


@pytest.mark.parametrize(
    ("weights", "symbols", "words"),
    [
        (Theirs("GRU").state_dict(), SYMBOLS, "no LSTM's"),
        (Theirs().state_dict(), SYMBOLS[:5], "No weights lead"),
        (Theirs().state_dict(), ["e"] * 6, "twice"),
        (without("encoder.weight"), SYMBOLS, "No embedding"),
        (without("rnn.weight_hh_l1"), SYMBOLS, "weight_hh_l1"),
        ({**Theirs().state_dict(), "other.weight": torch.zeros(3)}, SYMBOLS, "other.weight"),
        ({**Theirs().state_dict(), "b.weight_ih_l0": torch.zeros(4, 2)}, SYMBOLS, "2 recurrent"),
        (nn.LSTM(4, 8, bidirectional=True).state_dict(), SYMBOLS, "bidirectional"),
        ({}, SYMBOLS, "0 recurrent"),
    ],
)
def test_what_does_not_fit_is_refused(weights, symbols, words, tmp_path):
    with pytest.raises(UserError, match=words):
        textgen.export_weights(weights, symbols, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_from_files_and_never_from_a_pickle(tmp_path):
    theirs = Theirs()
    save_file(theirs.state_dict(), tmp_path / "mine.safetensors")
    torch.save(theirs.state_dict(), tmp_path / "mine.pt")
    (tmp_path / "chars.txt").write_text("".join(SYMBOLS), encoding="utf-8", newline="")
    (tmp_path / "chars.json").write_text(json.dumps(SYMBOLS))
    made = [
        textgen.export_weights(tmp_path / "mine.safetensors", tmp_path / chars, folder=tmp_path)
        for chars in ("chars.txt", "chars.json")
    ]
    assert made[0].name == "mine.onnx"
    with pytest.raises(UserError, match="no safetensors") as refused:
        textgen.export_weights(tmp_path / "mine.pt", SYMBOLS, folder=tmp_path)
    assert "never opened" in refused.value.remedy
    for wrong in ('{"a": 1}', '["ab"]', "[1]", "[", '["\\ud800"]'):
        (tmp_path / "chars.json").write_text(wrong)
        with pytest.raises(UserError, match="vocabulary"):
            textgen.export_weights(theirs.state_dict(), tmp_path / "chars.json", folder=tmp_path)
