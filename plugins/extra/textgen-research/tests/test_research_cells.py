"""The cells by the kit, against their equations written out again, and with a text to learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import textgen
from textgen.conformance.check_cell import check_cell
from textgen.conformance.check_export import check_export
from textgen.contracts.cell import Cell, Layer
from textgen.contracts.errors import UserError
from textgen_research.layer_norm_lstm import LayerNormLSTM
from textgen_research.mlstm import MLSTM
from textgen_research.mogrifier_lstm import MogrifierLSTM
from textgen_research.multiplicative_lstm import MultiplicativeLSTM
from textgen_research.peephole_lstm import PeepholeLSTM
from textgen_research.slstm import SLSTM

D, H = 3, 4
VARIANTS = [
    (PeepholeLSTM, {}),
    (LayerNormLSTM, {}),
    (MultiplicativeLSTM, {}),
    (MogrifierLSTM, {}),
    (MogrifierLSTM, {"rounds": 2, "rank": 2}),
    (SLSTM, {}),
    (MLSTM, {}),
    (MLSTM, {"heads": 1}),
]


@pytest.mark.parametrize(("cell", "options"), VARIANTS)
def test_they_conform(cell, options):
    check_cell(cell, options)


@pytest.mark.parametrize(("cell", "options"), VARIANTS)
def test_they_export(cell, options):
    check_export(cell, options)


def made(cell: type[Cell], **options):
    """A lively cell in float64, its weights as numpy arrays by name, and inputs (6, D)."""
    torch.manual_seed(0)
    layer = cell(Layer(D, H, options=cell.Options(**options))).double()
    for parameter in layer.parameters():
        parameter.data.add_(0.5 * torch.randn_like(parameter))
    weights = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    return layer, weights, np.random.default_rng(1).standard_normal((6, D))


def is_scanned(cell: Cell, xs, expected) -> None:
    ys, _ = cell.scan(torch.from_numpy(xs)[:, None], cell.initial_state(1))
    np.testing.assert_allclose(ys[:, 0].detach().numpy(), expected, rtol=1e-9, atol=1e-12)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_peephole_lstm():
    cell, w, xs = made(PeepholeLSTM)
    h, c, expected = np.zeros(H), np.zeros(H), []
    for x in xs:
        i, f, g, o = np.split(w["weight_ih"] @ x + w["weight_hh"] @ h + w["bias"], 4)
        p_i, p_f, p_o = np.split(w["peepholes"], 3)
        c = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * np.tanh(g)
        h = sigmoid(o + p_o * c) * np.tanh(c)
        expected.append(h)
    is_scanned(cell, xs, expected)


def normalised(x):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5)


def test_layer_norm_lstm():
    cell, w, xs = made(LayerNormLSTM)
    h, c, expected = np.zeros(H), np.zeros(H), []
    for x in xs:
        into = w["norm_ih.weight"] * normalised(w["weight_ih"] @ x) + w["norm_ih.bias"]
        gates = into + w["norm_hh.weight"] * normalised(w["weight_hh"] @ h)
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(w["norm_c.weight"] * normalised(c) + w["norm_c.bias"])
        expected.append(h)
    is_scanned(cell, xs, expected)


def test_multiplicative_lstm():
    cell, w, xs = made(MultiplicativeLSTM)
    h, c, expected = np.zeros(H), np.zeros(H), []
    for x in xs:
        into = w["weight_ih"] @ x + w["bias"]
        m = into[4 * H :] * (w["weight_mh"] @ h)
        i, f, g, o = np.split(into[: 4 * H] + w["weight_hm"] @ m, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        expected.append(h)
    is_scanned(cell, xs, expected)


def test_mogrifier_lstm():
    cell, w, xs = made(MogrifierLSTM, rounds=3)
    h, c, expected = np.zeros(H), np.zeros(H), []
    for x in xs:
        x = 2 * sigmoid(w["rounds.0.weight"] @ h) * x
        h = 2 * sigmoid(w["rounds.1.weight"] @ x) * h
        x = 2 * sigmoid(w["rounds.2.weight"] @ h) * x
        i, f, g, o = np.split(w["weight_ih"] @ x + w["weight_hh"] @ h + w["bias"], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        expected.append(h)
    is_scanned(cell, xs, expected)


def test_slstm():
    """As the paper has it before it is stabilised."""
    cell, w, xs = made(SLSTM)
    h, c, n, expected = np.zeros(H), np.zeros(H), np.zeros(H), []
    for x in xs:
        i, f, z, o = np.split(w["weight_ih"] @ x + w["weight_hh"] @ h + w["bias"], 4)
        c = sigmoid(f) * c + np.exp(i) * np.tanh(z)
        n = sigmoid(f) * n + np.exp(i)
        h = sigmoid(o) * c / n
        expected.append(h)
    is_scanned(cell, xs, expected)


def test_mlstm():
    """As the paper has it before it is stabilised."""
    cell, w, xs = made(MLSTM, heads=2)
    c, n, expected = np.zeros((2, 2, 2)), np.zeros((2, 2)), []
    for x in xs:
        into = w["into.weight"] @ x + w["into.bias"]
        q, k, v, o = (part.reshape(2, 2) for part in np.split(into[: 4 * H], 4))
        i, f = np.exp(into[4 * H : 4 * H + 2]), sigmoid(into[4 * H + 2 :])
        k = k / np.sqrt(2)
        read = np.zeros((2, 2))
        for head in range(2):
            c[head] = f[head] * c[head] + i[head] * np.outer(v[head], k[head])
            n[head] = f[head] * n[head] + i[head] * k[head]
            read[head] = c[head] @ q[head] / max(abs(n[head] @ q[head]), 1)
        read /= np.sqrt((read**2).mean(axis=1, keepdims=True) + 1e-6)
        expected.append((sigmoid(o) * read).ravel())
    is_scanned(cell, xs, expected)


@pytest.mark.parametrize("cell", [SLSTM, MLSTM])
def test_gates_that_would_overflow_an_exponential_do_not(cell):
    torch.manual_seed(0)
    layer = cell(Layer(D, H, options=cell.Options()))
    ys, state = layer.scan(300 * torch.randn(200, 2, D), layer.initial_state(2))
    torch.autograd.backward(ys.sum())
    found = [ys, *state, *(p.grad for p in layer.parameters() if p.grad is not None)]
    assert all(part.isfinite().all() for part in found)


def test_over_several_chunks_the_scan_of_the_mlstm_is_its_steps():
    torch.manual_seed(0)
    cell = MLSTM(Layer(D, 32, options=MLSTM.Options()))
    xs, start = torch.randn(300, 2, D), cell.initial_state(2)
    with torch.no_grad():
        by_scan, by_step = cell.scan(xs, start), Cell.scan(cell, xs, start)
    for found, expected in zip((by_scan[0], *by_scan[1]), (by_step[0], *by_step[1]), strict=True):
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(found, expected, rtol=0, atol=cell.tolerance * scale)


def test_heads_that_do_not_divide_the_width_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="30 is not divisible by 4 heads"):
        textgen.train(_hello(tmp_path), cell="mlstm", hidden_size=30, folder=tmp_path)


def _hello(folder):
    text = folder / "hello.txt"
    text.write_text("hello world, " * 500, encoding="utf-8")
    return text


@pytest.mark.parametrize(
    "name",
    [
        "peephole-lstm",
        "layer-norm-lstm",
        "multiplicative-lstm",
        "mogrifier-lstm",
        "slstm",
        "mlstm",
    ],
)
def test_a_text_is_learnt_exported_and_written_in_the_graph(name, tmp_path):
    run = textgen.train(
        _hello(tmp_path), cell=name, steps=120, hidden_size=32, seed=1, folder=tmp_path
    )
    assert run.losses["cold"]["nats"] < 0.4
    written = textgen.load(run.model).generate("hello", length=60, temperature=0.1, seed=1)
    assert "hello world" in written.text
