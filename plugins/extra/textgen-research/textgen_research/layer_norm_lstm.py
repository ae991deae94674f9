"""The layer-normalised LSTM: Ba, Kiros and Hinton, Layer Normalization (2016), arXiv 1607.06450.

Equations 20 to 22: both sums of the gates are normalised by themselves, and so is the memory where
it is read. The biases of the first norm stand for those of all gates.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.hooks import hookimpl
from textgen_research.unrolled import Unrolled, remembering, weights

TEXTGEN_CONTRACT = 1


class LayerNormLSTM(Unrolled):
    """Layer-norm LSTM: what enters the gates and what is read of the memory is normalised."""

    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh",)
    output_bound: ClassVar[float | None] = 1.0

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        size = layer.hidden_size
        self.weight_ih = weights(4 * size, layer.input_size, size)
        self.weight_hh = weights(4 * size, size, size)
        self.norm_ih = nn.LayerNorm(4 * size)
        self.norm_ih.bias = remembering(4 * size, size)
        self.norm_hh = nn.LayerNorm(4 * size, bias=False)
        self.norm_c = nn.LayerNorm(size)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"h": (self.layer.hidden_size,), "c": (self.layer.hidden_size,)}

    def into(self, x: Tensor) -> Tensor:
        into: Tensor = self.norm_ih(linear(x, self.weight_ih))
        return into

    def turn(self, into: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        gates = into + self.norm_hh(linear(h, self.weight_hh))
        i, f, g, o = gates.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(self.norm_c(c))
        return h, (h, c)


@hookimpl
def textgen_cells() -> dict[str, type[Cell]]:
    return {"layer-norm-lstm": LayerNormLSTM}
