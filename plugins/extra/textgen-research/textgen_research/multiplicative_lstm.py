"""The multiplicative LSTM: Krause et al., Multiplicative LSTM for sequence modelling (2016), arXiv
1609.07959, equations 18 to 22.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear

from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.hooks import hookimpl
from textgen_research.unrolled import Unrolled, remembering, weights

TEXTGEN_CONTRACT = 1


class MultiplicativeLSTM(Unrolled):
    """Multiplicative LSTM: the input chooses what of the last output the gates get to see."""

    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_mh", "weight_hm")
    output_bound: ClassVar[float | None] = 1.0

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        size = layer.hidden_size
        self.weight_ih = weights(5 * size, layer.input_size, size)
        self.weight_mh = weights(size, size, size)
        self.weight_hm = weights(4 * size, size, size)
        self.bias = remembering(5 * size, size)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"h": (self.layer.hidden_size,), "c": (self.layer.hidden_size,)}

    def into(self, x: Tensor) -> Tensor:
        return linear(x, self.weight_ih, self.bias)

    def turn(self, into: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        size = self.layer.hidden_size
        gates, chosen = torch.split(into, [4 * size, size], dim=-1)
        m = chosen * linear(h, self.weight_mh)
        i, f, g, o = (gates + linear(m, self.weight_hm)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)


@hookimpl
def textgen_cells() -> dict[str, type[Cell]]:
    return {"multiplicative-lstm": MultiplicativeLSTM}
