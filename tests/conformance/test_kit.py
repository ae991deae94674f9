"""The conformance kit over everything registered and everything awkward; and that it can fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from awkward.cells import FastWeights, Leaky, LearnedStart, WideOutput
from awkward.samplers import Surprised, Tired
from textgen.conformance.check_cell import check_cell
from textgen.conformance.check_export import check_export
from textgen.conformance.check_sampler import check_sampler
from textgen.conformance.check_tokenizer import check_tokenizer
from textgen.conformance.rules import BrokenRuleError
from textgen.contracts.cell import Cell
from textgen.contracts.sampler import Sampler
from textgen.registry import discover

REGISTRY = discover()
CELLS = [REGISTRY.load("cell", name) for name in REGISTRY.names("cell")]
AWKWARD = [FastWeights, WideOutput, LearnedStart, Leaky]
SAMPLERS = [REGISTRY.load("sampler", name) for name in REGISTRY.names("sampler")]


@pytest.mark.parametrize("cell", CELLS + AWKWARD)
def test_cells_conform(cell):
    check_cell(cell)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS + AWKWARD)
def test_cells_export(cell, layers):
    check_export(cell, layers=layers, embedding_size=6 if layers < 3 else 0)


def test_options_reach_a_cell():
    check_cell(Leaky, {"leak": "0.25", "window": "5"})
    check_export(Leaky, {"leak": "0.25", "window": "5"}, layers=1)


@pytest.mark.parametrize("sampler", [*SAMPLERS, Tired, Surprised])
def test_samplers_conform(sampler):
    check_sampler(sampler)


@pytest.mark.parametrize("name", REGISTRY.names("tokenizer"))
def test_tokenizers_conform(name):
    check_tokenizer(REGISTRY.load("tokenizer", name))


class _Mean(Leaky):
    """Looks at the other rows."""

    def step(self, x, state):
        output, following = super().step(x - x.mean(dim=0), state)
        return output, following


class _InPlace(LearnedStart):
    def step(self, x, state):
        output, following = super().step(x, state)
        x.mul_(2)
        return output, following


class _WrongScan(LearnedStart):
    def scan(self, xs, state):
        outputs, last = Cell.scan(self, xs, state)
        return outputs * 1.001, last


class _Unbounded(WideOutput):
    output_bound = 0.5


class _Noisy(LearnedStart):
    def step(self, x, state):
        output, following = super().step(x, state)
        return output + 0.01 * torch.rand_like(output), following


class _InPlaceScan(LearnedStart):
    def scan(self, xs, state):
        xs += 1
        return Cell.scan(self, xs - 1, state)


class _NotANumber(LearnedStart):
    def step(self, x, state):
        output, following = super().step(x, state)
        return output.abs().sqrt() * torch.log(output), following


class _Remembering(LearnedStart):
    """Keeps its state where it should not."""

    def step(self, x, state):
        self.kept = super().step(x + getattr(self, "kept", 0 * x.mean()), state)[0].mean().detach()
        output, following = super().step(x, state)
        return output + self.kept, following


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        (_InPlaceScan, "scan changes none"),
        (_NotANumber, "finite"),
        (_Remembering, "state is no attribute"),
        (_Mean, "row alone"),
        (_InPlace, "changes none"),
        (_WrongScan, "equals a loop of step"),
        (_Unbounded, "output_bound"),
        (_Noisy, "nothing is random"),
    ],
)
def test_broken_cells_are_found(cell, rule):
    with pytest.raises(BrokenRuleError, match=rule):
        check_cell(cell)


class _Emptied(Sampler):
    def adjust(self, logits, state, options):
        return np.full_like(logits, -np.inf)


class _Double(Sampler):
    def adjust(self, logits, state, options):
        return logits.astype(np.float64)


class _Together(Sampler):
    def adjust(self, logits, state, options):
        return np.where(logits >= logits.max() - 3, logits, np.minimum(logits, -100)).astype("f4")


class _Changed(Tired):
    def accept(self, ids, logprobs, state):
        state["counts"][np.arange(len(ids)), ids] += 1
        return state


class _OtherGraph(Surprised):
    def adjust_graph(self, graph, logits, state, options):
        return graph.op("Identity", logits)


@pytest.mark.parametrize(
    ("sampler", "rule"),
    [
        (_Emptied, "stays finite"),
        (_Double, "float32"),
        (_Together, "row alone"),
        (_Changed, "leaves the old one"),
        (_OtherGraph, "numpy form"),
    ],
)
def test_broken_samplers_are_found(sampler, rule):
    with pytest.raises(BrokenRuleError, match=rule):
        check_sampler(sampler)
