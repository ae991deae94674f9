"""The sLSTM: Beck et al., xLSTM: Extended Long Short-Term Memory (2024), arXiv 2405.04517.

Equations 8 to 17: an exponential input gate, and a normaliser n that makes the memory a weighted
mean. The memory is kept divided by exp(m), so that no exponential overflows.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.hooks import hookimpl
from textgen_research.exponential import log_sigmoid
from textgen_research.unrolled import Unrolled, weights

TEXTGEN_CONTRACT = 1

_TINY = 1e-30
"""Instead of a normaliser of zero, before anything was let in."""


class SLSTM(Unrolled):
    """sLSTM of xLSTM: an exponential gate can overrule all that is remembered."""

    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh",)
    output_bound: ClassVar[float | None] = 1.0

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        size = layer.hidden_size
        self.weight_ih = weights(4 * size, layer.input_size, size)
        self.weight_hh = weights(4 * size, size, size)
        self.bias = nn.Parameter(torch.zeros(4 * size))
        with torch.no_grad():  # some units remember for long, as in the authors' code
            self.bias[size : 2 * size] = torch.linspace(3, 6, size)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(("h", "c", "n", "m"), (self.layer.hidden_size,))

    def into(self, x: Tensor) -> Tensor:
        return linear(x, self.weight_ih, self.bias)

    def turn(self, into: Tensor, state: State) -> tuple[Tensor, State]:
        h, c, n, m = state
        i, f, z, o = (into + linear(h, self.weight_hh)).chunk(4, dim=-1)
        kept = log_sigmoid(f) + m
        m = torch.maximum(kept, i)
        i, f = torch.exp(i - m), torch.exp(kept - m)
        c = f * c + i * torch.tanh(z)
        n = f * n + i
        h = torch.sigmoid(o) * (c / n.clamp(min=_TINY))
        return h, (h, c, n, m)


@hookimpl
def textgen_cells() -> dict[str, type[Cell]]:
    return {"slstm": SLSTM}
