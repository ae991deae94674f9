"""Optimizers that are allowed, and harder to keep than most."""

from __future__ import annotations

from typing import ClassVar

import torch

from textgen.contracts.optimizer import Optimizer


def with_gradient(optimizer):
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return [parameter for parameter in parameters if parameter.grad is not None]


class CurvedSteps(torch.optim.Optimizer):
    """Divides by the curvature along random vectors; counts in its group, sums in float64."""

    def __init__(self, groups):
        super().__init__(groups, {"turns": 0, "bounds": (0.1, 10.0), "note": "new", "unused": None})

    def step(self):
        parameters = with_gradient(self)
        gradients = [p.grad for p in parameters]
        vectors = [torch.randn_like(p) for p in parameters]
        products = torch.autograd.grad(gradients, parameters, vectors, allow_unused=True)
        with torch.no_grad():
            (group,) = self.param_groups
            group["turns"] += 1
            group["bounds"] = (group["bounds"][0] * 0.99, 10.0)
            group["note"] = f"after {group['turns']}"
            for parameter, gradient, product in zip(parameters, gradients, products, strict=True):
                state = self.state[parameter]
                total = state.get("total", torch.zeros_like(parameter, dtype=torch.float64))
                state["total"] = total + (0 if product is None else product.double().square())
                state["seen"] = state.get("seen", 0) + 1
                size = (state["total"] / state["seen"]).sqrt().clamp(*group["bounds"]).float()
                parameter -= group["lr"] * gradient / size


class Curved(Optimizer):
    """Second derivatives, random numbers, and every kind of state that a checkpoint can hold."""

    second_order = True

    @staticmethod
    def build(groups, options):
        return CurvedSteps(groups)


class Symmetric(Optimizer):
    """Learns nothing; notes u H v and v H u of every step in ``seen``."""

    second_order = True
    seen: ClassVar[list[tuple[float, float]]] = []

    @staticmethod
    def build(groups, options):
        class Steps(torch.optim.Optimizer):
            def step(self):
                parameters = with_gradient(self)
                gradients = [p.grad for p in parameters]
                u, v = ([torch.randn_like(p) for p in parameters] for _ in range(2))
                h_u, h_v = (
                    torch.autograd.grad(gradients, parameters, w, retain_graph=True) for w in (u, v)
                )
                Symmetric.seen.append((product(u, h_v), product(v, h_u)))

        return Steps(groups, {})


def product(one, other):
    return float(sum((a.double() * b.double()).sum() for a, b in zip(one, other, strict=True)))


class Hoarding(torch.optim.SGD):
    """Keeps all gradients in a list, as L-BFGS does."""

    def step(self):
        super().step()
        for parameter in with_gradient(self):
            self.state[parameter].setdefault("history", []).append(parameter.grad.clone())


class Global(torch.optim.SGD):
    """Keeps a number that is of no parameter."""

    def step(self):
        super().step()
        self.state["turns"] = 1


class Beside(torch.optim.SGD):
    """Keeps something beside its state."""

    def state_dict(self):
        return {**super().state_dict(), "random": object()}


def unkept(steps):
    """An optimizer, by the class of its steps, that no checkpoint can hold."""

    class Unkept(Optimizer):
        @staticmethod
        def build(groups, options):
            return steps(groups)

    return Unkept


class Unbuildable(Optimizer):
    @staticmethod
    def build(groups, options):
        raise ValueError("no such luck")


class NoOptimizer(Optimizer):
    @staticmethod
    def build(groups, options):
        return 42
