"""Adam: Kingma and Ba, A Method for Stochastic Optimization (2015), arXiv 1412.6980."""

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
    beta1: float = option(0.9, "decay of the gradient's mean", minimum=0, below=1)
    beta2: float = option(0.999, "decay of its square's mean", minimum=0, below=1)
    weight_decay: float = option(0.0, "share of the weights added to the gradient", minimum=0)


class Adam(Optimizer):
    """Adam: as AdamW, but decay of the weights goes through the gradient."""

    Options: ClassVar[type] = Options

    @staticmethod
    def build(groups: list[dict[str, Any]], options: Any) -> torch.optim.Optimizer:
        betas = (options.beta1, options.beta2)
        return torch.optim.Adam(groups, betas=betas, weight_decay=options.weight_decay, fused=True)


@hookimpl
def textgen_optimizers() -> dict[str, type[Optimizer]]:
    return {"adam": Adam}
