"""The bundled cells against their equations written out again, in numpy."""

from __future__ import annotations

import numpy as np
import torch

from textgen.contracts.cell import Layer
from textgen.registry import discover

D, H = 3, 4


def made(name):
    torch.manual_seed(0)
    cell = discover().load("cell", name)(Layer(D, H))
    for parameter in cell.parameters():
        parameter.data.add_(torch.randn_like(parameter))
    weights = {key: value.detach().numpy() for key, value in cell.named_parameters()}
    return cell, weights, np.random.default_rng(1).standard_normal((6, D)).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def ours(cell, xs):
    state, outputs = cell.initial_state(1), []
    for x in xs:
        y, state = cell.step(torch.from_numpy(x)[None], state)
        outputs.append(y.detach().numpy()[0])
    return np.stack(outputs)


def test_rnn():
    cell, w, xs = made("rnn")
    h, expected = np.zeros(H), []
    for x in xs:
        h = np.tanh(w["weight_hh"] @ h + w["bias_hh"] + w["weight_ih"] @ x + w["bias_ih"])
        expected.append(h)
    np.testing.assert_allclose(ours(cell, xs), expected, atol=1e-6)


def test_lstm():
    cell, w, xs = made("lstm")
    h, c, expected = np.zeros(H), np.zeros(H), []
    for x in xs:
        total = w["weight_ih"] @ x + w["bias_ih"] + w["weight_hh"] @ h + w["bias_hh"]
        i, f, g, o = np.split(total, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        expected.append(h)
    np.testing.assert_allclose(ours(cell, xs), expected, atol=1e-6)


def test_gru_resets_after_the_product():
    cell, w, xs = made("gru")
    h, expected = np.zeros(H), []
    for x in xs:
        xr, xz, xn = np.split(w["weight_ih"] @ x + w["bias_ih"], 3)
        hr, hz, hn = np.split(w["weight_hh"] @ h + w["bias_hh"], 3)
        z = sigmoid(xz + hz)
        h = (1 - z) * np.tanh(xn + sigmoid(xr + hr) * hn) + z * h
        expected.append(h)
    np.testing.assert_allclose(ours(cell, xs), expected, atol=1e-6)


def test_fused_kernels_agree_with_torchs_modules():
    modules = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
    for name, module_class in modules.items():
        cell, w, xs = made(name)
        module = module_class(D, H)
        for key, value in w.items():
            getattr(module, f"{key}_l0").data.copy_(torch.from_numpy(value))
        expected, _ = module(torch.from_numpy(xs)[:, None])
        found, _ = cell.scan(torch.from_numpy(xs)[:, None], cell.initial_state(1))
        torch.testing.assert_close(found, expected)


def test_gradients_are_those_of_finite_differences():
    for name in ("rnn", "lstm", "gru"):
        cell, _, _ = made(name)
        cell.double()
        xs = torch.randn(3, 2, D, dtype=torch.float64, requires_grad=True)

        def outputs(xs, cell=cell):
            ys, last = cell.scan(xs, cell.initial_state(2))
            return ys, *last

        assert torch.autograd.gradcheck(outputs, (xs,))


def test_recurrent_weights_start_orthogonal_and_the_lstm_remembers():
    from textgen.training.network import Network

    for name in ("rnn", "lstm", "gru"):
        network = Network(discover().load("cell", name), 5, hidden_size=H)
        weight = network.cells[0].weight_hh
        for block in weight.split(H):
            torch.testing.assert_close(block @ block.T, torch.eye(H), atol=1e-5, rtol=0)
    lstm = Network(discover().load("cell", "lstm"), 5, hidden_size=H).cells[0]
    assert (lstm.bias_ih[H : 2 * H] == 1).all()
