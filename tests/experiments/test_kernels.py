"""Which kernels a scan runs is seen, not assumed."""

from __future__ import annotations

import pytest

from awkward.cells import FastWeights
from textgen.experiments.kernels import FUSED, OWN, STEPS, kernel_path
from textgen.registry import discover
from textgen.training.network import build_network
from textgen.training.settings import build_settings


def path(cell, precision="float32", **given):
    cell_class = discover().load("cell", cell) if isinstance(cell, str) else cell
    built = build_settings({"hidden_size": 8, **given})
    network = build_network(20, cell_class, cell_class.Options(), built).train()
    return kernel_path(network, precision)


@pytest.mark.parametrize(
    ("cell", "expected"), [("lstm", FUSED), ("gru", OWN), ("rnn", OWN), (FastWeights, STEPS)]
)
def test_on_the_cpu(cell, expected):
    assert path(cell) == expected


def test_zoneout_steps_whatever_the_cell_has():
    assert path("lstm", zoneout=0.1) == STEPS


def test_a_cell_that_hands_on_to_a_kernel_in_any_way_is_fused():
    class Wrapped(discover().load("cell", "lstm")):
        def scan(self, xs, state):
            ys, state = super().scan(xs.clone(), state)
            return ys + 0, state

    assert path(Wrapped) == FUSED


def test_in_bfloat16_it_is_a_loop_or_a_kernel_but_it_is_seen():
    assert path("lstm", "bfloat16") in (FUSED, OWN)
    assert path("gru", "bfloat16") == OWN
