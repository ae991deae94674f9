"""Cells whose steps begin with a product of the input, which a scan does for all T at once.

T time, B batch, D input size, N what is made of an input.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from textgen.contracts.cell import Cell, State


class Unrolled(Cell):
    """A cell in two parts: ``into``, of the input alone, and ``turn``, which meets the state."""

    @abstractmethod
    def into(self, x: Tensor) -> Tensor:
        """(..., D) to (..., N)."""

    @abstractmethod
    def turn(self, into: Tensor, state: State) -> tuple[Tensor, State]:
        """The rest of a step, (B, N) and a state to the output and next state."""

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self.turn(self.into(x), state)

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        outputs = []
        for into in self.into(xs).unbind():
            output, state = self.turn(into, state)
            outputs.append(output)
        return torch.stack(outputs), state


def weights(rows: int, columns: int, hidden_size: int) -> nn.Parameter:
    """A matrix that starts uniform within 1 / sqrt(H), as torch's recurrent layers do."""
    bound = hidden_size**-0.5
    return nn.Parameter(torch.empty(rows, columns).uniform_(-bound, bound))


def remembering(rows: int, hidden_size: int) -> nn.Parameter:
    """Biases that start at zero, but for those of the second gate, the forget gate: at one
    (Jozefowicz et al. 2015)."""
    bias = torch.zeros(rows)
    bias[hidden_size : 2 * hidden_size] = 1.0
    return nn.Parameter(bias)
