"""A recurrent network with one method, as the article has it: ``y = rnn.step(x)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.errors import UserError
from textgen.contracts.options import build_options
from textgen.registry import discover


class Recurrent(nn.Module):
    """Stacked cells that keep their own state.

    ``cell`` is a name that ``textgen plugins`` lists, or a Cell class. Inputs are vectors of
    ``input_size`` numbers (a tensor, array or list), outputs tensors of the last cell's output
    size; gradients flow back through every step since ``reset`` or ``detach``.
    """

    def __init__(
        self,
        cell: str | type[Cell],
        input_size: int,
        hidden_size: int,
        *,
        layers: int = 1,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        cell_class: type[Cell] = discover().load("cell", cell) if isinstance(cell, str) else cell
        self.input_size = input_size
        chosen = build_options(cell_class.Options, options or {}, f"cell {cell_class.__name__}")
        self.cells = nn.ModuleList()
        width = input_size
        for index in range(layers):
            layer = cell_class(Layer(width, hidden_size, index, layers, chosen))
            self.cells.append(layer)
            width = layer.output_size
        self.reset()

    def reset(self) -> None:
        """Forgets everything: back to the initial state."""
        self.state: list[State] = [cell.initial_state(1) for cell in self._stack()]

    def detach(self) -> None:
        """Keeps the state, but lets no gradient flow back past this point."""
        self.state = [tuple(part.detach() for part in state) for state in self.state]

    def step(self, x: Tensor | np.ndarray | Sequence[float]) -> Tensor:
        """One time step: a vector in, a vector out, the state moved on.

        Raises UserError where ``x`` is not a vector of ``input_size`` numbers.
        """
        weight = next(self.parameters(), torch.empty(0))
        output = torch.as_tensor(x, dtype=weight.dtype, device=weight.device)
        if output.shape != (self.input_size,):
            raise UserError(
                f"The input has shape {tuple(output.shape)}, not ({self.input_size},).",
                "Give step one vector of input_size numbers.",
            )
        output = output.unsqueeze(0)
        for index, cell in enumerate(self._stack()):
            output, self.state[index] = cell.step(output, self.state[index])
        return output.squeeze(0)

    def _stack(self) -> list[Cell]:
        return [cell for cell in self.cells if isinstance(cell, Cell)]
