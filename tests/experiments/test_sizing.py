"""Equal parameters: the width that is found is the nearest there is."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from awkward.cells import FastWeights, Leaky, WideOutput
from textgen.contracts.cell import Cell
from textgen.experiments.sizing import size_at, solve
from textgen.registry import discover
from textgen.training.network import build_network
from textgen.training.settings import build_settings

BUNDLED = [entry.name for entry in discover(third_party=False).entries("cell")]


def builder(cell_class, *, vocabulary=65, **given):
    def build(hidden_size):
        built = build_settings({**given, "hidden_size": hidden_size})
        return build_network(vocabulary, cell_class, cell_class.Options(), built)

    return build


def loaded(name):
    return discover(third_party=False).load("cell", name)


@pytest.mark.parametrize("name", BUNDLED)
@settings(max_examples=8, deadline=None)
@given(
    target=st.integers(6_000, 3_000_000),
    layers=st.integers(1, 3),
    embedding=st.sampled_from([0, 16, 64]),
    normed=st.booleans(),
)
def test_no_other_width_is_nearer(name, target, layers, embedding, normed):
    build = builder(loaded(name), layers=layers, embedding_size=embedding, layer_norm=normed)
    found = solve(build, target)
    distance = abs(found.total - target)
    for other in (found.hidden_size - 1, found.hidden_size + 1):
        if other >= 1:
            assert distance <= abs(size_at(build, other).total - target)
    if target > 100_000:
        assert abs(found.differs(target)) < 0.01


@pytest.mark.parametrize("cell", [*BUNDLED, FastWeights, WideOutput, Leaky])
def test_parts_are_those_of_the_network(cell):
    cell_class = loaded(cell) if isinstance(cell, str) else cell
    build = builder(cell_class, layers=2)
    size, network = size_at(build, 24), build(24)
    assert size.total == sum(p.numel() for p in network.parameters())
    assert size.embedding == 65 * 64
    assert size.head == sum(p.numel() for p in network.head.parameters())
    assert size.recurrent == sum(p.numel() for cell in network.stack() for p in cell.parameters())


def test_counting_draws_no_random_number():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    solve(builder(loaded("gru")), 500_000)
    assert torch.equal(torch.get_rng_state(), before)


class Headed(Cell):
    """Takes multiples of sixteen alone, and computes with its first weights."""

    def __init__(self, layer):
        super().__init__(layer)
        if layer.hidden_size % 16:
            raise ValueError("sixteen heads")
        self.mix = torch.nn.Linear(layer.input_size + layer.hidden_size, layer.hidden_size)
        assert float(self.mix.weight.detach().abs().sum()) > 0

    def step(self, x, state):
        h = torch.tanh(self.mix(torch.cat([x, state[0]], dim=-1)))
        return h, (h,)


@pytest.mark.parametrize("target", [5_000, 61_234, 400_000])
def test_widths_that_a_cell_refuses_are_left_out(target):
    build = builder(Headed)
    found = solve(build, target)
    assert found.hidden_size % 16 == 0
    for other in (found.hidden_size - 16, found.hidden_size + 16):
        if other:
            assert abs(found.total - target) <= abs(size_at(build, other).total - target)


def test_what_can_have_no_width_says_why():
    def refuse(hidden_size):
        raise ValueError("never")

    with pytest.raises(ValueError, match="never"):
        solve(refuse, 1000)


def test_a_target_below_the_smallest_gives_the_smallest():
    build = partial(builder(loaded("lstm")))
    assert solve(build, 1).hidden_size == 1
