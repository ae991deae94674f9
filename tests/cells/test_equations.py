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


class Scan(torch.nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, xs, *state):
        ys, last = self.cell.scan(xs, state)
        return ys, *last


def test_gradients_are_those_of_finite_differences_and_so_are_theirs():
    for name in ("rnn", "lstm", "gru"):
        cell, _, _ = made(name)
        scan, names = Scan(cell.double()), [f"cell.{key}" for key, _ in cell.named_parameters()]

        def outputs(xs, *others, scan=scan, names=names):
            weights = dict(zip(names, others, strict=False))
            return torch.func.functional_call(scan, weights, (xs, *others[len(names) :]))

        first = [torch.randn(2, H, dtype=torch.float64) for _ in cell.state_shapes()]
        inputs = [torch.randn(3, 2, D, dtype=torch.float64), *cell.parameters(), *first]
        inputs = [tensor.detach().requires_grad_() for tensor in inputs]
        assert torch.autograd.gradcheck(outputs, inputs)
        assert torch.autograd.gradgradcheck(outputs, inputs)


def test_in_bfloat16_gradients_are_those_of_float32_but_for_rounding():
    for name in ("rnn", "lstm", "gru"):
        cell, _, _ = made(name)
        xs = torch.randn(20, 8, D)
        gradients = []
        for enabled in (False, True):
            cell.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                ys, last = cell.scan(xs, cell.initial_state(8))
            torch.autograd.backward(sum(part.float().square().sum() for part in (ys, *last)))
            gradients.append(torch.cat([p.grad.flatten() for p in cell.parameters()]))
        exact, rounded = gradients
        assert (rounded - exact).norm() < 0.02 * exact.norm()


def test_a_state_that_hardly_changes_is_kept_in_bfloat16():
    """A GRU that adds a thousandth of its candidate: less than bfloat16 tells from nothing."""
    cell, _, _ = made("gru")
    for parameter in cell.parameters():
        torch.nn.init.zeros_(parameter)
    cell.bias_ih.data[H : 2 * H] = 6.9  # z = 0.999
    cell.bias_ih.data[2 * H :] = 9.0  # n = 1
    with torch.autocast("cpu", torch.bfloat16):
        _, (h,) = cell.scan(torch.zeros(2000, 1, D), cell.initial_state(1))
    assert (h > 0.8).all()


def test_recurrent_weights_start_orthogonal_and_the_lstm_remembers():
    from textgen.training.network import Network

    for name in ("rnn", "lstm", "gru"):
        network = Network(discover().load("cell", name), 5, hidden_size=H)
        weight = network.cells[0].weight_hh
        for block in weight.split(H):
            torch.testing.assert_close(block @ block.T, torch.eye(H), atol=1e-5, rtol=0)
    lstm = Network(discover().load("cell", "lstm"), 5, hidden_size=H).cells[0]
    assert (lstm.bias_ih[H : 2 * H] == 1).all()
