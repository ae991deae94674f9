"""The LSTM with peepholes: Gers and Schmidhuber, Recurrent Nets that Time and Count (2000)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.hooks import hookimpl
from textgen_research.unrolled import Unrolled, remembering, weights

TEXTGEN_CONTRACT = 1


class PeepholeLSTM(Unrolled):
    """Peephole LSTM: each gate sees its own unit's memory, the output gate the new one."""

    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh", "peepholes")
    output_bound: ClassVar[float | None] = 1.0

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        size = layer.hidden_size
        self.weight_ih = weights(4 * size, layer.input_size, size)
        self.weight_hh = weights(4 * size, size, size)
        self.peepholes = nn.Parameter(torch.zeros(3 * size))
        self.bias = remembering(4 * size, size)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"h": (self.layer.hidden_size,), "c": (self.layer.hidden_size,)}

    def into(self, x: Tensor) -> Tensor:
        return linear(x, self.weight_ih, self.bias)

    def turn(self, into: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        i, f, g, o = (into + linear(h, self.weight_hh)).chunk(4, dim=-1)
        p_i, p_f, p_o = self.peepholes.chunk(3)
        c = torch.sigmoid(f + p_f * c) * c + torch.sigmoid(i + p_i * c) * torch.tanh(g)
        h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
        return h, (h, c)


@hookimpl
def textgen_cells() -> dict[str, type[Cell]]:
    return {"peephole-lstm": PeepholeLSTM}
