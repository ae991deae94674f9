"""What helps learning: each option against its definition, alone and all of them at once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from everything import EVERYTHING
from torch.nn.functional import log_softmax
from watching import Remember

import textgen
from awkward.cells import Leaky, LearnedStart, WideOutput
from textgen import runs
from textgen.contracts.errors import UserError
from textgen.registry import discover
from textgen.training.checkpoint import load_weights
from textgen.training.feeding import IGNORED
from textgen.training.network import Network, Scanned
from textgen.training.objective import Objective
from textgen.training.observer import Started
from textgen.training.regularisation import Regularisation
from textgen.training.run_folder import RunFolder
from textgen.training.stacking import Stacking

T, B, V, H = 6, 3, 7, 8
CELLS = {name: discover().load("cell", name) for name in ("rnn", "lstm", "gru")}
STACKINGS = [
    Stacking(connection, norm, tied)
    for connection, norm, tied in itertools.product(
        ("plain", "residual", "highway"), (False, True), (False, True)
    )
]


def network_of(cell="gru", *, lively=True, **changes):
    torch.manual_seed(0)
    options = {"hidden_size": H, "layers": 2, "embedding_size": H, **changes}
    network = Network(CELLS.get(cell, cell), V, **options)
    for parameter in network.parameters() if lively else ():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    return network


def tokens():
    return torch.randint(V, (T, B), generator=torch.Generator().manual_seed(1))


def stepped(network, symbols):
    state, found = network.initial_state(B), []
    for token in symbols:
        logits, state = network.step(token, state)
        found.append(logits)
    return torch.stack(found), state


@pytest.mark.parametrize("stacking", STACKINGS, ids=str)
@pytest.mark.parametrize("cell", [*CELLS, Leaky, LearnedStart])
def test_every_stacking_scans_as_it_steps(cell, stacking):
    network = network_of(cell, stacking=stacking).eval()
    with torch.no_grad():
        whole, last = network.scan(tokens(), network.initial_state(B))
        by_step, end = stepped(network, tokens())
    torch.testing.assert_close(whole, by_step, rtol=1e-5, atol=1e-5)
    for one, other in zip(last, end, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_residual_and_highway_by_their_equations():
    x, y = torch.randn(2, B, H)
    for stacking in (Stacking("residual", norm=True), Stacking("highway", norm=True)):
        network = network_of(stacking=stacking)
        joint = network.joints[1]
        spread = (y.var(-1, correction=0, keepdim=True) + 1e-5) ** 0.5
        normal = (y - y.mean(-1, keepdim=True)) / spread
        normal = normal * joint.norm.weight + joint.norm.bias
        expected = x + normal
        if stacking.connection == "highway":
            opened = torch.sigmoid(x @ joint.gate.weight.T + joint.gate.bias)
            expected = opened * normal + (1 - opened) * x
        torch.testing.assert_close(joint(x, joint.norm(y)), expected, rtol=1e-5, atol=1e-5)


def test_a_way_around_only_where_the_widths_agree():
    network = network_of(stacking=Stacking("residual"), embedding_size=5)
    assert [joint.connection for joint in network.joints] == ["plain", "residual"]


def test_tied_weights_are_one_parameter():
    network = network_of(stacking=Stacking(tied=True))
    assert network.head.weight is network.embedding.weight
    names = [name for name, _ in network.named_parameters()]
    assert "embedding.weight" in names
    assert "head.weight" not in names


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stacking": Stacking(tied=True), "embedding_size": 5}, "Tied weights"),
        ({"stacking": Stacking(tied=True), "cell": WideOutput}, "Tied weights"),
        ({"stacking": Stacking("highway"), "layers": 1, "embedding_size": 5}, "highway"),
        ({"regularisation": Regularisation(weight_drop=0.1), "cell": Leaky}, "Leaky names no"),
    ],
)
def test_what_would_do_nothing_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        network_of(**changes)


def test_it_is_refused_before_there_is_a_run(verses, tmp_path):
    with pytest.raises(UserError, match="Tied"):
        textgen.train(verses, steps=2, hidden_size=8, tie_weights=True, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def noisy(cell="gru", **shares):
    network = network_of(cell, regularisation=Regularisation(**shares), layers=1).train()
    torch.manual_seed(2)
    return network


def inputs_of_the_cell(network, symbols):
    seen, scan = [], network.cells[0].scan
    network.cells[0].scan = lambda xs, state: (seen.append(xs.detach()), scan(xs, state))[1]
    scanned = network(symbols, network.initial_state(symbols.shape[1]))
    return seen[0], scanned


def test_a_locked_mask_is_the_same_for_all_of_a_step():
    symbols = torch.randint(V, (40, 50))
    network = noisy(dropout=0.3, locked=True)
    scanned = network(symbols, network.initial_state(50))
    masks = scanned.dropped / scanned.output
    assert ((masks == masks[:1]) | masks.isclose(masks[:1])).all()
    assert 0.2 < float((masks[0] == 0).float().mean()) < 0.4
    assert masks.max().item() == pytest.approx(1 / 0.7)
    network = noisy(dropout=0.3)
    scanned = network(symbols, network.initial_state(50))
    assert not ((scanned.dropped == 0) == (scanned.dropped[:1] == 0)).all()


def test_symbols_are_dropped_wherever_they_stand():
    network = noisy(embedding_dropout=0.4)
    symbols = torch.randint(V, (40, 50))
    seen, _ = inputs_of_the_cell(network, symbols)
    plain = network.embedding.weight.detach()[symbols]
    scale = (seen / plain).mean(dim=-1)
    by_symbol = [scale[symbols == symbol] for symbol in range(V)]
    assert all(values.allclose(values[:1]) for values in by_symbol)
    found = sorted({round(float(values[0]), 3) for values in by_symbol})
    assert found == [0.0, round(1 / 0.6, 3)]


def test_the_input_is_dropped():
    seen, _ = inputs_of_the_cell(noisy(input_dropout=0.5), torch.randint(V, (40, 50)))
    assert 0.4 < float((seen == 0).float().mean()) < 0.6


@pytest.mark.parametrize("cell", CELLS)
def test_dropped_weights_are_those_of_the_recurrence_and_learn(cell):
    network = noisy(cell, weight_drop=0.5)
    ((name, dropped),) = network.dropped_weights().items()
    assert name == "cells.0.weight_hh"
    raw = network.cells[0].weight_hh
    assert 0.3 < float((dropped == 0).float().mean()) < 0.7
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], 2 * raw[kept])
    scanned = torch.func.functional_call(
        network, {name: dropped}, (tokens(), network.initial_state(B))
    )
    plain = network_of(cell, layers=1)
    with torch.no_grad():
        plain.cells[0].weight_hh.copy_(dropped)
        expected, _ = plain.eval().scan(tokens(), plain.initial_state(B))
    torch.testing.assert_close(scanned.logits, expected, rtol=1e-5, atol=1e-5)
    scanned.logits.sum().backward()
    assert (raw.grad[~kept] == 0).all()
    assert (raw.grad[kept] != 0).any()


@pytest.mark.parametrize("cell", [*CELLS, WideOutput])
def test_zoneout_keeps_a_share_of_the_state(cell):
    network = network_of(cell, layers=1, regularisation=Regularisation(zoneout=0.3))
    before = tuple(torch.randn_like(part) for part in network.initial_state(200))
    token = torch.zeros(200, dtype=torch.int64)
    plain = network_of(cell, layers=1)
    _, after = plain.step(token, before)
    _, drawn = network.train().step(token, before)
    for old, new, found in zip(before, after, drawn, strict=True):
        kept = found == old
        assert 0.2 < float(kept.float().mean()) < 0.4
        assert (kept | (found == new)).all()
    _, mean = network.eval().step(token, before)
    for old, new, found in zip(before, after, mean, strict=True):
        torch.testing.assert_close(found, 0.3 * old + 0.7 * new)


@pytest.mark.parametrize("cell", [*CELLS, LearnedStart])
def test_zoneout_scans_as_it_steps_and_puts_out_its_state(cell):
    network = network_of(cell, regularisation=Regularisation(zoneout=0.3)).eval()
    with torch.no_grad():
        scanned = network(tokens(), network.initial_state(B))
        by_step, _ = stepped(network, tokens())
    torch.testing.assert_close(scanned.logits, by_step, rtol=1e-5, atol=1e-5)
    index = list(network.state_shapes()).index("layer1.h")
    torch.testing.assert_close(scanned.output[-1], scanned.state[index])


def test_nothing_is_random_in_eval_mode():
    shares = {"dropout": 0.3, "input_dropout": 0.3, "embedding_dropout": 0.3, "zoneout": 0.3}
    network = network_of(regularisation=Regularisation(locked=True, **shares)).eval()
    one, other = (network.scan(tokens(), network.initial_state(B))[0] for _ in range(2))
    assert torch.equal(one, other)


def test_the_objective_by_its_formula():
    torch.manual_seed(3)
    logits, output, dropped = torch.randn(T, B, V), torch.randn(T, B, H), torch.randn(T, B, H)
    targets = torch.randint(V, (T, B))
    targets[4:, 1] = IGNORED
    scanned = Scanned(logits, (), output, dropped)
    symbols, changes = int((targets != IGNORED).sum()), int((targets[1:] != IGNORED).sum())
    total, told = Objective(0.1, 2.0, 3.0)(scanned, targets, symbols, changes)
    places = [(t, b) for t in range(T) for b in range(B) if targets[t, b] != IGNORED]
    chances = log_softmax(logits, -1)
    nats = np.mean([-float(chances[t, b, targets[t, b]]) for t, b in places])
    smooth = np.mean([-float(chances[t, b].mean()) for t, b in places])
    active = np.mean([float((dropped[t, b] ** 2).mean()) for t, b in places])
    change = [float(((output[t, b] - output[t - 1, b]) ** 2).mean()) for t, b in places if t]
    assert float(told) == pytest.approx(nats, rel=1e-5)
    expected = 0.9 * nats + 0.1 * smooth + 2 * active + 3 * np.mean(change)
    assert float(total) == pytest.approx(expected, rel=1e-5)
    plain, same = Objective()(scanned, targets, symbols, changes)
    assert float(plain) == float(same) == float(told)


@pytest.mark.parametrize("cell", CELLS)
def test_a_model_file_reads_as_the_network_with_all_at_once(cell, verses, tmp_path):
    run = textgen.train(verses, cell=cell, steps=10, folder=tmp_path, **EVERYTHING)
    assert_reads_alike(textgen.load(run.model), network_in(run.folder), "ANNA:\nSing the river")


def network_in(folder):
    """The network whose weights a run has kept."""
    run = RunFolder(folder)
    network = runs.fresh_network(runs.read_setup(run, None, discover()))
    load_weights(network, run.weights)
    return network.eval()


def assert_reads_alike(model, network, text):
    ids, _ = model.encode(text)
    row = torch.tensor([model.vocabulary.boundary, *ids.tolist()])
    with torch.no_grad():
        logits, _ = network.scan(row[:-1, None], network.initial_state(1))
    nats = -log_softmax(logits[:, 0], -1)[range(len(ids)), row[1:]]
    assert model.score(text).per_symbol == pytest.approx(nats.numpy(), abs=1e-4)


def test_a_jitter_that_short_documents_cannot_have_is_said(names, tmp_path):
    seen = Remember()
    textgen.train(names, steps=1, sequence_jitter=0.2, folder=tmp_path, observer=seen)
    assert any("--sequence-jitter does nothing" in said for said in seen.last(Started).notices)


def test_a_lock_on_no_dropout_is_said(verses, tmp_path):
    def told(**settings):
        seen = Remember()
        textgen.train(verses, steps=1, observer=seen, folder=tmp_path, **settings)
        return "--locked-dropout does nothing" in " ".join(seen.last(Started).notices)

    assert told(locked_dropout=True, dropout=0.0, name="none")
    assert not told(locked_dropout=True, dropout=0.0, input_dropout=0.1, name="input")
    assert not told(locked_dropout=True, dropout=0.1, name="some")
    assert not told(dropout=0.0, name="unlocked")
