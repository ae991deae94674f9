"""Stacking: how what a layer puts out goes on to the next, beside the layer's own input.

B batch, T time; the same for a step (B, D) and a scan (T, B, D).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Stacking:
    """The ways in which layers can be joined; part of what a network is, so also of its file."""

    connection: str = "plain"
    """``plain``, ``residual`` (He et al., arXiv 1512.03385) or ``highway`` (Srivastava et al.,
    arXiv 1505.00387)."""
    norm: bool = False
    """Layer normalisation of every layer's output (Ba et al., arXiv 1607.06450)."""
    tied: bool = False
    """The head's weights are the embedding's (Press and Wolf, arXiv 1608.05859)."""


PLAIN = Stacking()
"""Each layer reads what the one before put out."""


class Joint(nn.Module):
    """What stands behind one layer: a norm, and a way around the layer.

    There is a way around only where the layer's output is as wide as its input.
    """

    def __init__(self, stacking: Stacking, input_size: int, output_size: int) -> None:
        super().__init__()
        self.connection = stacking.connection if input_size == output_size else "plain"
        self.norm = nn.LayerNorm(output_size) if stacking.norm else nn.Identity()
        if self.connection == "highway":
            self.gate = nn.Linear(input_size, output_size)
            nn.init.constant_(self.gate.bias, -1.0)  # at first most goes around

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The layer's input ``x`` and its output ``y``, normalised and perhaps dropped, as one."""
        if self.connection == "residual":
            return x + y
        if self.connection == "highway":
            opened = torch.sigmoid(self.gate(x))
            return opened * y + (1 - opened) * x
        return y
