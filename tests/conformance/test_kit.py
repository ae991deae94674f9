"""The conformance kit over everything registered and everything awkward; and that it can fail."""

from __future__ import annotations

import re

import click
import numpy as np
import pytest
import torch

from awkward.cells import FastWeights, Leaky, LearnedStart, WideOutput
from awkward.optimizers import Curved, Global, Hoarding
from awkward.samplers import Surprised, Tired
from textgen.conformance.check_cell import check_cell, examine_cell
from textgen.conformance.check_command import check_command
from textgen.conformance.check_export import check_export, examine_export
from textgen.conformance.check_optimizer import check_optimizer
from textgen.conformance.check_sampler import check_sampler, examine_sampler
from textgen.conformance.check_tokenizer import check_tokenizer
from textgen.conformance.check_tracker import check_tracker
from textgen.conformance.rules import BrokenRuleError
from textgen.contracts.cell import Cell
from textgen.contracts.optimizer import Optimizer
from textgen.contracts.sampler import Sampler
from textgen.contracts.tracker import Tracker
from textgen.registry import discover

REGISTRY = discover()
CELLS = [REGISTRY.load("cell", name) for name in REGISTRY.names("cell")]
AWKWARD = [FastWeights, WideOutput, LearnedStart, Leaky]
SAMPLERS = [REGISTRY.load("sampler", name) for name in REGISTRY.names("sampler")]


@pytest.mark.parametrize("cell", CELLS + AWKWARD)
def test_cells_conform(cell):
    check_cell(cell)  # exports two layers


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", CELLS + AWKWARD)
def test_cells_export(cell, layers):
    check_export(cell, layers=layers, embedding_size=6 if layers < 3 else 0)


def test_options_reach_a_cell():
    check_cell(Leaky, {"leak": "0.25", "window": "5"})


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


class _Normed(LearnedStart):
    """As a BatchNorm: in training it looks at the other rows."""

    def scan(self, xs, state):
        return Cell.scan(self, xs - xs.mean(dim=1, keepdim=True) if self.training else xs, state)


class _Peeking(LearnedStart):
    """In training it looks at what comes."""

    def scan(self, xs, state):
        outputs, last = Cell.scan(self, xs, state)
        return outputs + 0.1 * outputs.mean(dim=0) if self.training else outputs, last


class _Numb(LearnedStart):
    """Learns nothing of what it remembers."""

    def step(self, x, state):
        return super().step(x, (0 * state[0],))


class _Long(LearnedStart):
    """Right for the lengths that are tried most, wrong beyond."""

    def scan(self, xs, state):
        outputs, last = Cell.scan(self, xs, state)
        return outputs if len(xs) < 32 else outputs.flip(0), last


class _Stuck(LearnedStart):
    def step(self, x, state):
        raise RuntimeError("no step today")


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        (_Normed, "own row and its past"),
        (_Peeking, "own row and its past"),
        (_Numb, "write hello"),
        (_Long, "equals a loop of step"),
        (_Stuck, "nothing is raised"),
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


def test_what_a_cell_raises_is_told_with_its_place():
    with pytest.raises(BrokenRuleError, match="RuntimeError: no step today") as broken:
        check_cell(_Stuck)
    assert isinstance(broken.value.__cause__, RuntimeError)


def test_other_rules_are_tried_after_a_broken_one():
    found = list(examine_cell(_WrongScan))
    broken = [finding.rule for finding in found if finding.broken]
    assert broken == [
        "scan equals a loop of step, in float32",
        "scan equals a loop of step, in float64",
    ]
    assert len({finding.rule for finding in found}) == len(found) > 20
    assert all(finding.found and finding.cause for finding in found)


def test_a_product_of_two_states_promises_no_ids():
    found = list(examine_export(FastWeights, layers=1))
    (promise,) = (finding for finding in found if not finding.holds)
    assert promise == found[-1]
    assert promise.promise and not promise.broken
    assert re.search(r"MatMul of layer0\.memory and", promise.found)


class _Recalling(Sampler):
    """Remembers on self what it should keep in its state."""

    turns = 0

    def adjust(self, logits, state, options):
        return logits / np.float32(1 + self.turns // 3)

    def accept(self, ids, logprobs, state):
        self.turns += 1
        return state


class _Ranked(Tired):
    """Counts differently for the first row."""

    def accept(self, ids, logprobs, state):
        counts = super().accept(ids, logprobs, state)["counts"]
        counts[0] += 1
        return {"counts": counts}


def test_which_samplers_run_in_the_loop():
    for sampler, promised in ((Tired, False), (Surprised, True)):
        (promise,) = (finding for finding in examine_sampler(sampler) if finding.promise)
        assert promise.holds == promised


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
        (_Recalling, "all that a text has left behind"),
        (_Ranked, "forked from another"),
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


class _SGD(Optimizer):
    """What can be wrong is in the subclasses."""

    made = torch.optim.SGD

    @classmethod
    def build(cls, groups, options):
        return cls.made(groups)


class _Ascending(torch.optim.SGD):
    def __init__(self, groups):
        super().__init__(groups, maximize=True)


class _Counting(torch.optim.SGD):
    """Counts on self, which no checkpoint holds."""

    steps = 0

    def step(self, closure=None):
        self.steps += 1
        for group in self.param_groups:
            group["lr"] /= 1 + self.steps / 100
        super().step(closure)


@pytest.mark.parametrize("name", REGISTRY.names("optimizer"))
def test_optimizers_conform(name):
    check_optimizer(REGISTRY.load("optimizer", name))


def test_an_awkward_optimizer_conforms():
    check_optimizer(Curved)


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (_Ascending, "lowers"),
        (Hoarding, "no pickle"),
        (Global, "no pickle"),
        (_Counting, "bit for bit"),
    ],
)
def test_broken_optimizers_are_found(made, rule):
    with pytest.raises(BrokenRuleError, match=rule):
        check_optimizer(type("Made", (_SGD,), {"made": made}))


class _Quiet(Tracker):
    def begin(self, run):
        pass

    def metrics(self, step, values):
        pass


class _Littering(_Quiet):
    def begin(self, run):
        (run.folder / "mine.txt").write_text("mine")


class _Greedy(_Quiet):
    def metrics(self, step, values):
        values["mine"] = 1


def test_trackers_conform():
    check_tracker(_Quiet)


@pytest.mark.parametrize(
    ("tracker", "rule"), [(_Littering, "run's folder"), (_Greedy, "nothing is raised")]
)
def test_broken_trackers_are_found(tracker, rule):
    with pytest.raises(BrokenRuleError, match=rule):
        check_tracker(tracker)


@click.command()
@click.option("--times", default=1, help="How often.")
def _greeting(times):
    """Greet."""


@click.command()
@click.option("--times", default=1)
def _mumbling(times):
    """Greet."""


def test_commands_conform():
    check_command(_greeting)
    with pytest.raises(BrokenRuleError, match="what it is for"):
        check_command(_mumbling)
    with pytest.raises(BrokenRuleError, match="says what it does"):
        check_command(click.Command("silent"))
