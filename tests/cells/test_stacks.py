"""Stacks of every cell: scan is step, parts are the whole, rows are alone, in any precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from awkward.cells import FastWeights, Leaky, LearnedStart, WideOutput
from textgen.contracts.cell import Layer
from textgen.contracts.errors import UserError
from textgen.registry import discover
from textgen.training.network import Network
from textgen.training.recurrent import Recurrent
from textgen.training.regularisation import Regularisation

REGISTRY = discover()
BUNDLED = [REGISTRY.load("cell", name) for name in REGISTRY.names("cell")]
CELLS = [*BUNDLED, FastWeights, WideOutput, LearnedStart, Leaky]
T, V, H = 11, 7, 8


def made(cell, layers, embedding_size=5):
    torch.manual_seed(1)
    network = Network(cell, V, hidden_size=H, layers=layers, embedding_size=embedding_size)
    for parameter in network.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    return network.eval()


def stepped(network, tokens, state):
    found = []
    for token in tokens:
        logits, state = network.step(token, state)
        found.append(logits)
    return torch.stack(found), state


@pytest.mark.parametrize("embedding_size", [0, 5])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_a_stack_scans_as_it_steps_whole_or_split_alone_or_batched(cell, layers, embedding_size):
    network = made(cell, layers, embedding_size)
    names = list(network.state_shapes())
    assert names == sorted(names, key=lambda name: int(name.partition(".")[0][5:]))
    with torch.no_grad():
        for batch in (1, 3, 8, 16):
            tokens = torch.randint(V, (T, batch))
            start = network.initial_state(batch)
            whole, last = network.scan(tokens, start)
            by_step, end = stepped(network, tokens, start)
            torch.testing.assert_close(whole, by_step, rtol=1e-5, atol=1e-5)
            first, middle = network.scan(tokens[:4], start)
            second, split = network.scan(tokens[4:], middle)
            torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-5, atol=1e-5)
            for shape, *parts in zip(
                network.state_shapes().values(), last, end, split, strict=True
            ):
                assert all(part.shape == (batch, *shape) for part in parts)
                torch.testing.assert_close(parts[0], parts[1], rtol=1e-5, atol=1e-5)
                torch.testing.assert_close(parts[0], parts[2], rtol=1e-5, atol=1e-5)
            alone, _ = network.scan(tokens[:, -1:], network.initial_state(1))
            torch.testing.assert_close(alone, whole[:, -1:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cell", BUNDLED)
def test_a_gradient_of_a_gradient(cell):
    torch.manual_seed(2)
    layer = cell(Layer(3, 4)).double()
    xs = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer.scan(x, layer.initial_state(2))[0], (xs,))


@pytest.mark.parametrize("cell", CELLS)
def test_state_stays_float32_under_autocast(cell):
    network = made(cell, 2).train()
    tokens = torch.randint(V, (T, 3))
    with torch.autocast("cpu", torch.bfloat16):
        logits, state = network.scan(tokens, network.initial_state(3))
    assert all(part.dtype == torch.float32 for part in state)
    exact, _ = network.scan(tokens, network.initial_state(3))
    torch.testing.assert_close(logits.float(), exact, rtol=0.1, atol=0.2)


def test_dropout_falls_on_every_layer_while_training_alone():
    torch.manual_seed(0)
    network = Network(
        BUNDLED[0],
        V,
        hidden_size=64,
        layers=2,
        embedding_size=4,
        regularisation=Regularisation(dropout=0.5),
    )
    seen = []
    hooks = [network.cells[1], network.head]
    tokens, start = torch.randint(V, (T, 2)), network.initial_state(2)
    network.head.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    scan = network.cells[1].scan
    network.cells[1].scan = lambda xs, state: (seen.append(xs), scan(xs, state))[1]
    network.train().scan(tokens, start)
    assert len(seen) == len(hooks)
    assert all(0.4 < float((given == 0).float().mean()) < 0.6 for given in seen)
    one, _ = network.eval().scan(tokens, start)
    other, _ = network.scan(tokens, start)
    assert torch.equal(one, other)


def test_a_learned_start_learns():
    network = made(LearnedStart, 1).train()
    logits, _ = network.scan(torch.randint(V, (T, 3)), network.initial_state(3))
    logits.sum().backward()
    assert network.cells[0].start.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_recurrent_keeps_its_state(name):
    torch.manual_seed(0)
    rnn = Recurrent(name, 3, H, layers=2)
    xs = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    given = [torch.from_numpy(xs[0]), xs[1], xs[2].tolist(), xs[3], xs[4]]
    ys = torch.stack([rnn.step(x) for x in given])
    assert ys.shape == (5, H)
    expected = torch.from_numpy(xs)[:, None]
    for cell in rnn.cells:
        expected, _ = cell.scan(expected, cell.initial_state(1))
    torch.testing.assert_close(ys, expected[:, 0])
    ys[-1].sum().backward()
    assert all(parameter.grad is not None for parameter in rnn.parameters())
    rnn.detach()
    assert not any(part.requires_grad for state in rnn.state for part in state)
    rnn.reset()
    torch.testing.assert_close(rnn.step(xs[0]), ys[0])
    with pytest.raises(UserError, match="shape"):
        rnn.step([1.0, 2.0])
