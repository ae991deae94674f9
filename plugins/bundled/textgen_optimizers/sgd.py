"""Stochastic gradient descent: Robbins and Monro (1951); its momentum is Polyak's (1964)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from textgen.contracts.hooks import hookimpl
from textgen.contracts.optimizer import Optimizer
from textgen.contracts.options import option

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    momentum: float = option(0.0, "share of the last step taken again", minimum=0, below=1)
    weight_decay: float = option(0.0, "share of the weights added to the gradient", minimum=0)


class SGD(Optimizer):
    """Gradient descent: a step against the gradient, and some of the last step."""

    Options: ClassVar[type] = Options

    @staticmethod
    def build(groups: list[dict[str, Any]], options: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, momentum=options.momentum, weight_decay=options.weight_decay)


@hookimpl
def textgen_optimizers() -> dict[str, type[Optimizer]]:
    return {"sgd": SGD}
