"""The rules every optimizer keeps, as a function to call from a plugin's own tests.

from textgen.conformance.check_optimizer import check_optimizer

def test_conforms():
    check_optimizer(MyOptimizer)
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from textgen.conformance.rules import Finding, Findings, enforce, in_turn
from textgen.contracts.errors import PluginError
from textgen.contracts.optimizer import Optimizer
from textgen.contracts.options import build_options
from textgen.training.optimizers import pack_optimizer, unpack_optimizer

_STEPS = 200
_LEARNING_RATE = 0.02


def check_optimizer(
    optimizer_class: type[Optimizer], options: Mapping[str, Any] | None = None
) -> None:
    """Lowers a quadratic with it, looks at what it keeps, and interrupts it.

    ``options`` are as a person would give them. Raises BrokenRuleError for the first broken rule.
    """
    enforce(examine_optimizer(optimizer_class, options))


def examine_optimizer(
    optimizer_class: type[Optimizer], options: Mapping[str, Any] | None = None
) -> Findings:
    """The same, rule by rule. Raises UserError for options that the optimizer does not have."""
    owner = f"optimizer {optimizer_class.__name__}"
    chosen = build_options(optimizer_class.Options, options or {}, owner)
    return in_turn(_parts(optimizer_class, chosen))


def _parts(optimizer_class: type[Optimizer], options: Any) -> Iterator[Findings]:
    torch.manual_seed(0)
    yield _lowering(_Descent(optimizer_class, options))
    yield _keeping(_Descent(optimizer_class, options))
    yield _resuming(_Descent(optimizer_class, options), _Descent(optimizer_class, options))


class _Descent:
    """A quadratic of a matrix and a vector, whose curvatures are from 1 to 10, and an optimizer on
    its way down."""

    def __init__(self, optimizer_class: type[Optimizer], options: Any) -> None:
        self.parameters = [torch.ones(4, 3, requires_grad=True), torch.ones(5, requires_grad=True)]
        self._curvatures = [torch.linspace(1, 10, p.numel()).view_as(p) for p in self.parameters]
        self._second_order = optimizer_class.second_order
        group = {"params": self.parameters, "lr": _LEARNING_RATE}
        self.optimizer = optimizer_class.build([group], options)

    def loss(self) -> Tensor:
        parts = zip(self._curvatures, self.parameters, strict=True)
        return torch.stack([(curvature * p * p).sum() for curvature, p in parts]).sum() / 2

    def step(self, learning_rate: float = _LEARNING_RATE) -> None:
        gradients = torch.autograd.grad(
            self.loss(), self.parameters, create_graph=self._second_order
        )
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()

    def values(self) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self.parameters]


def _lowering(descent: _Descent) -> Findings:
    before = float(descent.loss().detach())
    for _ in range(_STEPS):
        descent.step()
    after = float(descent.loss().detach())
    yield Finding(
        after < before / 2,
        "it lowers a quadratic",
        f"from {before:.3g} to {after:.3g} in {_STEPS} steps at a learning rate of "
        f"{_LEARNING_RATE:g}",
        "the sign of the step, a parameter passed over, or a step that grows without bound",
    )
    held = descent.values()
    descent.step(learning_rate=0.0)
    moved = max(float((a - b).abs().max()) for a, b in zip(held, descent.values(), strict=True))
    yield Finding(
        moved == 0,
        "it goes as far as the schedule lets it: a learning rate of 0 changes nothing",
        f"a step at 0 moves a weight by {moved:.1e}",
        "Schedules and --learning-rate do nothing then. step would read each group's lr.",
        promise=True,
    )


def _keeping(descent: _Descent) -> Findings:
    for _ in range(3):
        descent.step()
    try:
        tensors, values = pack_optimizer(descent.optimizer)
        names = {name.rpartition(".")[2] for name in [*tensors, *values]} - {"lr"}
        fault, found = None, ", ".join(sorted(names)) or "nothing"
    except PluginError as error:
        fault, found = error, error.problem
    yield Finding(
        fault is None,
        "what it keeps is tensors, numbers, words and None, so that a checkpoint holds no pickle",
        found,
        "a list, deque or object in self.state[parameter]: keep one tensor, or several by name",
    )


def _resuming(straight: _Descent, resumed: _Descent) -> Findings:
    for _ in range(10):
        straight.step()
    random, weights = torch.get_rng_state(), straight.values()
    tensors, values = copy.deepcopy(pack_optimizer(straight.optimizer))
    for _ in range(10):
        straight.step()
    with torch.no_grad():
        for parameter, weight in zip(resumed.parameters, weights, strict=True):
            parameter.copy_(weight)
    torch.set_rng_state(random)
    unpack_optimizer(resumed.optimizer, tensors, json.loads(json.dumps(values)))
    for _ in range(10):
        resumed.step()
    pairs = list(zip(straight.values(), resumed.values(), strict=True))
    differing = sum(int((a != b).sum()) for a, b in pairs)
    yield Finding(
        differing == 0,
        "resumed from a checkpoint, it goes on bit for bit",
        f"{differing} of {sum(a.numel() for a, _ in pairs)} weights differ after 10 steps",
        "something it needs is an attribute of its own, not in state or in a group",
    )
