"""Equilibrated stochastic gradient descent: each weight's step is divided by its curvature.

Dauphin, de Vries and Bengio, Equilibrated adaptive learning rates for non-convex optimization
(2015), arXiv 1502.04390. Where v is drawn from N(0, I), the mean square of (H v)_i is the square of
the length of the Hessian's i-th row, which equilibrates it: unlike the diagonal that Jacobi's
preconditioner takes, it is as large for negative curvature as for positive, and never near zero
where a row is not. RMSProp's root of the mean squared gradient is a biased estimate of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from textgen.contracts.hooks import hookimpl
from textgen.contracts.optimizer import Optimizer
from textgen.contracts.options import option

TEXTGEN_CONTRACT = 1


class EquilibratedSteps(torch.optim.Optimizer):
    """x <- x - lr g / (D + damping), D = sqrt(mean of (H v)^2 over the estimates so far).

    One estimate a step in the first ``every`` steps, for a single one is near zero here and there;
    then one every so many steps. Every gradient must have a graph.
    """

    def __init__(self, groups: list[dict[str, Any]], every: int, damping: float) -> None:
        super().__init__(groups, {"damping": damping, "steps": 0, "estimates": 0})
        self._every = every

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step, of the gradients that are there; there is no closure to call."""
        done = self.param_groups[0]["steps"]
        if done < self._every or done % self._every == 0:
            self._estimate()
        for group in self.param_groups:
            group["steps"] += 1
            for parameter in group["params"]:
                if parameter.grad is not None:
                    mean = self.state[parameter]["squares"] / group["estimates"]
                    size = mean.sqrt_().add_(group["damping"])
                    parameter.addcdiv_(parameter.grad.detach(), size, value=-group["lr"])

    def _estimate(self) -> None:
        """Adds the square of one Hessian-vector product, of this step's batch."""
        parameters, gradients = [], []
        for group in self.param_groups:
            group["estimates"] += 1
            for parameter in group["params"]:
                self.state[parameter].setdefault("squares", torch.zeros_like(parameter))
                if parameter.grad is not None and parameter.grad.requires_grad:
                    parameters.append(parameter)
                    gradients.append(parameter.grad)
        vectors: list[Tensor] = [torch.randn_like(parameter) for parameter in parameters]
        products = torch.autograd.grad(
            gradients, parameters, vectors, allow_unused=True, materialize_grads=True
        )
        for parameter, product in zip(parameters, products, strict=True):
            self.state[parameter]["squares"].addcmul_(product, product)


@dataclass(frozen=True)
class Options:
    every: int = option(20, "steps between estimates of the curvature", minimum=1)
    damping: float = option(1e-2, "added to the curvature, so that no step is too long", above=0)


class ESGD(Optimizer):
    """Equilibrated SGD (arXiv 1502.04390): the gradient, divided by the length of the Hessian's
    row, which Hessian-vector products estimate."""

    Options: ClassVar[type] = Options
    second_order: ClassVar[bool] = True

    @staticmethod
    def build(groups: list[dict[str, Any]], options: Any) -> torch.optim.Optimizer:
        return EquilibratedSteps(groups, options.every, options.damping)


@hookimpl
def textgen_optimizers() -> dict[str, type[Optimizer]]:
    return {"esgd": ESGD}
