"""Adagrad: Duchi, Hazan and Singer, Adaptive Subgradient Methods (2011)."""

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
    weight_decay: float = option(0.0, "share of the weights added to the gradient", minimum=0)


class Adagrad(Optimizer):
    """Adagrad: the gradient, divided by the root of the sum of its squares so far."""

    Options: ClassVar[type] = Options

    @staticmethod
    def build(groups: list[dict[str, Any]], options: Any) -> torch.optim.Optimizer:
        return torch.optim.Adagrad(groups, weight_decay=options.weight_decay)


@hookimpl
def textgen_optimizers() -> dict[str, type[Optimizer]]:
    return {"adagrad": Adagrad}
