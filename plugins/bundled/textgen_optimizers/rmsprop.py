"""RMSProp: Tieleman and Hinton, Lecture 6.5 of Neural Networks for Machine Learning (2012)."""

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
    alpha: float = option(0.99, "decay of the mean of the gradient's square", minimum=0, below=1)
    momentum: float = option(0.0, "share of the last step taken again", minimum=0, below=1)
    weight_decay: float = option(0.0, "share of the weights added to the gradient", minimum=0)


class RMSProp(Optimizer):
    """RMSProp: the gradient, divided by the root of its mean square."""

    Options: ClassVar[type] = Options

    @staticmethod
    def build(groups: list[dict[str, Any]], options: Any) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(
            groups,
            alpha=options.alpha,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
        )


@hookimpl
def textgen_optimizers() -> dict[str, type[Optimizer]]:
    return {"rmsprop": RMSProp}
