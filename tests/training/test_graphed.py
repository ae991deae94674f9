"""CUDA graphs of scans: which arguments get one, and that they compute what the loop does."""

from __future__ import annotations

import copy

import pytest
import torch

from awkward.cells import FastWeights, LearnedStart, WideOutput
from textgen.contracts.cell import Layer
from textgen.training.graphed import ScanGraphs

CELLS = pytest.mark.parametrize("cell_class", [FastWeights, LearnedStart, WideOutput])
CASTS = pytest.mark.parametrize("cast", [None, torch.bfloat16])


class Captures(list):
    """Captures nothing: the module itself is run, and remembered."""

    def __call__(self, module, sample):
        self.append(module)
        return module


def arguments(cell, length, rows, device="cpu"):
    xs = torch.randn(length, rows, cell.layer.input_size, device=device, requires_grad=True)
    return xs, cell.initial_state(rows)


def learnt(scan, cell, xs, state, cast):
    """The losses and gradients of some scans that carry their state on."""
    found = []
    for _ in range(6):
        cell.zero_grad(set_to_none=True)
        # casts that are remembered add up their gradients in bfloat16
        with torch.autocast(xs.device.type, cast, enabled=cast is not None, cache_enabled=False):
            ys, state = scan(cell, xs, state)
            loss = ys.float().square().mean()
        loss.backward()
        found.append(loss.detach().clone())
        found += [p.grad.clone() for p in cell.parameters() if p.grad is not None]
        state = tuple(part.detach() for part in state)
    return found


@CASTS
def test_what_comes_often_is_captured_once_for_each_cell_and_shape(cast):
    captures = Captures()
    graphs = ScanGraphs(captures)
    cells = [LearnedStart(Layer(3, 4)), LearnedStart(Layer(4, 4))]
    with torch.autocast("cpu", cast, enabled=cast is not None):
        for _ in range(10):
            for cell in cells:
                for length in (5, 7):
                    ys, (h,) = graphs.scan(cell, *arguments(cell, length, 2))
                    assert ys.shape == (length, 2, 4) and torch.equal(ys[-1], h)
        for length in range(8, 40):
            graphs.scan(cells[0], *arguments(cells[0], length, 2))
        assert len(captures) == 4
        copy.deepcopy(graphs).scan(cells[0], *arguments(cells[0], 5, 2))
        assert len(captures) == 4


def test_documents_of_all_lengths_do_not_fill_the_memory():
    captures = Captures()
    graphs, cell = ScanGraphs(captures), LearnedStart(Layer(3, 4))
    for length in list(range(1, 30)) * 4:
        graphs.scan(cell, *arguments(cell, length, 2))
    assert len(captures) == 8


@CELLS
@CASTS
def test_what_is_captured_is_the_scan(cell_class, cast):
    cell, graphs = cell_class(Layer(3, 4)), ScanGraphs(Captures())
    given = arguments(cell, 6, 2)
    plain, found = (learnt(scan, cell, *given, cast) for scan in (cell_class.scan, graphs.scan))
    assert all(map(torch.equal, plain, found))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@CELLS
@CASTS
def test_a_graph_computes_what_the_loop_does(cell_class, cast):
    cell, graphs = cell_class(Layer(3, 4)).cuda(), ScanGraphs()
    given = arguments(cell, 16, 2, "cuda")
    plain, found = (learnt(scan, cell, *given, cast) for scan in (cell_class.scan, graphs.scan))
    for mine, theirs in zip(plain, found, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-6)
