"""The gated recurrent unit, in the reset-after form that fused kernels compute.

Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014), arXiv 1406.1078;
the reset gate acts on the product with the state, as in cuDNN and torch.nn.GRU.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.hooks import hookimpl
from textgen_cells.fused import fused_scan, scan_weights
from textgen_cells.gru_scan import GRUScan

TEXTGEN_CONTRACT = 1


class GRU(Cell):
    """GRU: a reset gate and an update gate; the state is the output."""

    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh",)
    output_bound: ClassVar[float | None] = 1.0

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        inputs, hidden = layer.input_size, layer.hidden_size
        bound = hidden**-0.5
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden, inputs).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden, hidden).uniform_(-bound, bound))
        self.bias_ih = nn.Parameter(torch.zeros(3 * hidden))
        self.bias_hh = nn.Parameter(torch.zeros(3 * hidden))

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        xr, xz, xn = linear(x, self.weight_ih, self.bias_ih).chunk(3, dim=-1)
        hr, hz, hn = linear(h, self.weight_hh, self.bias_hh).chunk(3, dim=-1)
        r = torch.sigmoid(xr + hr)
        z = torch.sigmoid(xz + hz)
        n = torch.tanh(xn + r * hn)
        h = (1 - z) * n + z * h
        return h, (h,)

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        kernel = GRUScan.apply if xs.device.type == "cpu" else partial(fused_scan, torch.gru)
        ys, h = kernel(xs, state[0], *scan_weights(self))
        return ys, (h,)


@hookimpl
def textgen_cells() -> dict[str, type[Cell]]:
    return {"gru": GRU}
