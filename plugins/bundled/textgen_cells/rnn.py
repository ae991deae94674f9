"""The vanilla recurrent network: Elman, Finding Structure in Time (1990)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.hooks import hookimpl
from textgen_cells.fused import fused_scan, scan_weights
from textgen_cells.rnn_scan import RNNScan

TEXTGEN_CONTRACT = 1


class RNN(Cell):
    """Vanilla RNN: h' = tanh(W_hh h + W_xh x + b)."""

    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh",)
    output_bound: ClassVar[float | None] = 1.0

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        inputs, hidden = layer.input_size, layer.hidden_size
        bound = hidden**-0.5
        self.weight_ih = nn.Parameter(torch.empty(hidden, inputs).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(hidden, hidden).uniform_(-bound, bound))
        self.bias_ih = nn.Parameter(torch.zeros(hidden))
        self.bias_hh = nn.Parameter(torch.zeros(hidden))

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        h = torch.tanh(
            linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh)
        )
        return h, (h,)

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        kernel = RNNScan.apply if xs.device.type == "cpu" else partial(fused_scan, torch.rnn_tanh)
        ys, h = kernel(xs, state[0], *scan_weights(self))
        return ys, (h,)


@hookimpl
def textgen_cells() -> dict[str, type[Cell]]:
    return {"rnn": RNN}
