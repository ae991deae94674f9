"""The Mogrifier LSTM: Melis, Kocisky and Blunsom (2019), arXiv 1909.01792.

D input size, H hidden size. Equations 1 and 2: before an LSTM's step, its input and its last output
gate each other, in turns; the matrices between them may have a low rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen_research.unrolled import remembering, weights

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    rounds: int = option(5, "times that one of input and output gates the other", minimum=0)
    rank: int = option(0, "rank of the matrices between them; 0 is the full one", minimum=0)


class MogrifierLSTM(Cell):
    """Mogrifier LSTM: input and last output gate each other before they meet."""

    Options: ClassVar[type] = Options
    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh",)
    output_bound: ClassVar[float | None] = 1.0

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        inputs, size, options = layer.input_size, layer.hidden_size, layer.options
        widths = [(size, inputs), (inputs, size)]
        self.rounds = nn.ModuleList(
            _between(*widths[turn % 2], options.rank) for turn in range(options.rounds)
        )
        self.weight_ih = weights(4 * size, inputs, size)
        self.weight_hh = weights(4 * size, size, size)
        self.bias = remembering(4 * size, size)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"h": (self.layer.hidden_size,), "c": (self.layer.hidden_size,)}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        for turn, between in enumerate(self.rounds):
            if turn % 2 == 0:
                x = 2 * torch.sigmoid(between(h)) * x
            else:
                h = 2 * torch.sigmoid(between(x)) * h
        gates = linear(x, self.weight_ih, self.bias) + linear(h, self.weight_hh)
        i, f, g, o = gates.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)


def _between(inputs: int, outputs: int, rank: int) -> nn.Module:
    if not rank:
        return nn.Linear(inputs, outputs, bias=False)
    return nn.Sequential(nn.Linear(inputs, rank, bias=False), nn.Linear(rank, outputs, bias=False))


@hookimpl
def textgen_cells() -> dict[str, type[Cell]]:
    return {"mogrifier-lstm": MogrifierLSTM}
