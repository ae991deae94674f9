"""The long short-term memory cell.

Hochreiter and Schmidhuber, Long Short-Term Memory (1997), with the forget gate of Gers,
Schmidhuber and Cummins, Learning to Forget (2000).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.hooks import hookimpl
from textgen_cells.fused import fused, scan_weights

TEXTGEN_CONTRACT = 1


class LSTM(Cell):
    """LSTM: input, forget and output gates around a memory that is added to, not rewritten."""

    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh",)
    output_bound: ClassVar[float | None] = 1.0

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        inputs, hidden = layer.input_size, layer.hidden_size
        bound = hidden**-0.5
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden, inputs).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden, hidden).uniform_(-bound, bound))
        self.bias_ih = nn.Parameter(torch.zeros(4 * hidden))
        self.bias_hh = nn.Parameter(torch.zeros(4 * hidden))
        with torch.no_grad():  # remember at first (Jozefowicz et al. 2015)
            self.bias_ih[hidden : 2 * hidden] = 1.0

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"h": (self.layer.hidden_size,), "c": (self.layer.hidden_size,)}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        gates = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh)
        i, f, g, o = gates.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        parts = [part.unsqueeze(0) for part in state]
        ys, h, c = fused(torch.lstm, xs, parts, scan_weights(self))
        return ys, (h.squeeze(0), c.squeeze(0))


@hookimpl
def textgen_cells() -> dict[str, type[Cell]]:
    return {"lstm": LSTM}
