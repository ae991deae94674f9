"""The cells by the kit, by their equations and by one another; and a text learnt with each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import pad, softplus

import textgen
from textgen.conformance.check_cell import check_cell
from textgen.conformance.check_export import check_export
from textgen.contracts.cell import Cell, Layer
from textgen_parallel.mingru import MinGRU
from textgen_parallel.minlstm import MinLSTM
from textgen_parallel.mixing import Mixing, mixed_in_chunks
from textgen_parallel.qrnn import QRNN

D, H = 3, 4
VARIANTS = [(MinGRU, {}), (MinLSTM, {}), (QRNN, {}), (QRNN, {"window": 1}), (QRNN, {"window": 4})]


def made(cell: type[Cell], options=None, dtype=torch.float64) -> Cell:
    torch.manual_seed(0)
    return cell(Layer(D, H, options=cell.Options(**(options or {})))).to(dtype)


@pytest.mark.parametrize(("cell", "options"), VARIANTS)
def test_they_conform(cell, options):
    check_cell(cell, options)


@pytest.mark.parametrize(("cell", "options"), VARIANTS)
def test_they_export(cell, options):
    check_export(cell, options)


@pytest.mark.parametrize("time", [1, 2, 5, 64, 257, 1024])
def test_one_after_the_other_and_in_chunks_the_states_are_those_of_the_steps(time):
    torch.manual_seed(time)
    u, n, h = torch.rand(time, 2, H), torch.randn(time, 2, H), torch.randn(2, H)
    h_t, expected = h.double(), []
    for share, candidate in zip(u.double(), n.double(), strict=True):
        h_t = h_t + share * (candidate - h_t)
        expected.append(h_t)
    for found in (Mixing.apply(u, n, h), mixed_in_chunks(u, n, h)):
        torch.testing.assert_close(found.double(), torch.stack(expected), rtol=0, atol=2e-6)


def test_in_chunks_shares_of_none_and_all_are_told_apart_for_a_thousand_symbols():
    """Where a logarithm of what is kept would be minus infinity."""
    u = torch.zeros(1000, 1, 2)
    u[500, :, 1] = 1
    states = mixed_in_chunks(u, torch.full_like(u, 3.0), torch.full((1, 2), 7.0))
    assert states[:, 0, 0].eq(7).all()
    assert states[:500, 0, 1].eq(7).all() and states[500:, 0, 1].eq(3).all()


@pytest.mark.parametrize("mix", [Mixing.apply, mixed_in_chunks])
def test_gradients_are_those_of_finite_differences_and_so_are_theirs(mix):
    torch.manual_seed(0)
    inputs = [torch.rand(5, 2, 3), torch.randn(5, 2, 3), torch.randn(2, 3)]
    inputs = [tensor.double().requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(mix, inputs)
    assert torch.autograd.gradgradcheck(mix, inputs)


def logarithms(log_kept, log_added):
    """The parallel scan of appendix B of arXiv 2410.01201, as it is printed there."""
    kept = pad(log_kept.cumsum(dim=0), (0, 0, 0, 0, 1, 0))
    return (kept + (log_added - kept).logcumsumexp(dim=0))[1:].exp()


def log_g(x):
    return torch.where(x >= 0, (torch.relu(x) + 0.5).log(), -softplus(-x))


@pytest.mark.parametrize("time", [64, 1024])
def test_mingru_and_minlstm_are_those_of_the_paper(time):
    xs = torch.randn(time, 2, D, dtype=torch.float64)
    first = log_g(torch.zeros(1, 2, H, dtype=torch.float64))

    gru = made(MinGRU)
    k, n = gru.into(xs).chunk(2, dim=-1)
    paper = logarithms(-softplus(k), torch.cat([first, -softplus(-k) + log_g(n)]))
    torch.testing.assert_close(gru.scan(xs, gru.initial_state(2))[0], paper, rtol=1e-9, atol=0)

    lstm = made(MinLSTM)
    f, i, n = lstm.into(xs).chunk(3, dim=-1)
    diff = softplus(-f) - softplus(-i)
    paper = logarithms(-softplus(diff), torch.cat([first, -softplus(-diff) + log_g(n)]))
    torch.testing.assert_close(lstm.scan(xs, lstm.initial_state(2))[0], paper, rtol=1e-9, atol=0)


def test_qrnn_is_that_of_the_paper():
    cell = made(QRNN, {"window": 2})
    sigmoid, weight, bias = (lambda x: 1 / (1 + np.exp(-x))), *cell.into.parameters()
    weight, bias = weight.detach().numpy(), bias.detach().numpy()
    xs = np.random.default_rng(1).standard_normal((6, D))
    before, c, expected = np.zeros(D), np.zeros(H), []
    for x in xs:
        f, z, o = np.split(weight @ np.concatenate([before, x]) + bias, 3)
        c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(z)
        expected.append(sigmoid(o) * c)
        before = x
    ys, _ = cell.scan(torch.from_numpy(xs)[:, None], cell.initial_state(1))
    np.testing.assert_allclose(ys[:, 0].detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(("cell", "options"), VARIANTS)
def test_over_a_thousand_symbols_scan_and_steps_differ_by_rounding(cell, options):
    layer = made(cell, options, torch.float32)
    xs, start = torch.randn(1024, 2, D), layer.initial_state(2)
    with torch.no_grad():
        by_scan, by_step = layer.scan(xs, start), Cell.scan(layer, xs, start)
    for found, expected in zip((by_scan[0], *by_scan[1]), (by_step[0], *by_step[1]), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=cell.tolerance)


@pytest.mark.parametrize("cell", [MinGRU, MinLSTM, QRNN])
def test_in_bfloat16_the_recurrence_stays_in_float32(cell):
    layer = made(cell, dtype=torch.float32)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        share = {MinGRU: [-6.9, 2], MinLSTM: [6.9, -6.9, 2], QRNN: [6.9, 2, 9]}[cell]
        layer.into.bias.copy_(torch.tensor(share).repeat_interleave(H))
    with torch.autocast("cpu", torch.bfloat16):
        ys, state = layer.scan(torch.zeros(3000, 1, D), layer.initial_state(1))
    assert all(part.dtype == torch.float32 for part in state)
    assert (ys[-1] > 0.9).all()  # a thousandth a step: less than bfloat16 tells from nothing


@pytest.mark.parametrize("name", ["mingru", "minlstm", "qrnn"])
def test_a_text_is_learnt_exported_and_written_in_the_graph_in_int8_too(name, tmp_path):
    text = tmp_path / "hello.txt"
    text.write_text("hello world, " * 500, encoding="utf-8")
    run = textgen.train(
        text, cell=name, steps=150, hidden_size=48, layers=2, seed=1, folder=tmp_path
    )
    assert run.losses["cold"]["nats"] < 0.4
    small = textgen.export_run(run.folder, int8=True, folder=tmp_path)
    for path in (run.model, small):
        model = textgen.load(path)
        assert "hello world" in model.generate("hello", length=60, temperature=0.1, seed=1).text
    losses = model.info.losses
    assert abs(losses["int8"]["nats"] - losses["float32"]["nats"]) < 0.01
