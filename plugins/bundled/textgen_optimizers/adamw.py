"""Adam with the decay of weights kept apart from the gradient.

Loshchilov and Hutter, Decoupled Weight Decay Regularization (2019), arXiv 1711.05101.
"""

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
    beta2: float = option(0.99, "decay of its square's mean", minimum=0, below=1)
    weight_decay: float = option(0.1, "decay of the weights towards zero", minimum=0)


class AdamW(Optimizer):
    """AdamW: the gradient's mean, divided by the root of its mean square."""

    Options: ClassVar[type] = Options

    @staticmethod
    def build(groups: list[dict[str, Any]], options: Any) -> torch.optim.Optimizer:
        betas = (options.beta1, options.beta2)
        return torch.optim.AdamW(groups, betas=betas, weight_decay=options.weight_decay, fused=True)


@hookimpl
def textgen_optimizers() -> dict[str, type[Optimizer]]:
    return {"adamw": AdamW}
