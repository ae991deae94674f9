"""The minimal GRU of Feng et al., Were RNNs All We Needed? (2024), arXiv 2410.01201.

The form of its appendix B, whose candidates are positive (algorithms 5 and 6). It is trained there
in logarithms, which in float32 differ from the steps by 8e-6, 5e-5 and 1.8e-4 over 64, 256 and
1,024 symbols (measured). The same recurrence is computed here without them (see ``mixing``), and
differs by rounding alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.hooks import hookimpl
from textgen_parallel.mixing import mixed
from textgen_parallel.positive import FIRST, positive

TEXTGEN_CONTRACT = 1


class MinGRU(Cell):
    """minGRU: gate and candidate see the input alone, so all symbols are learnt in parallel."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.into = nn.Linear(layer.input_size, 2 * layer.hidden_size)

    def initial_state(self, batch_size: int) -> State:
        (zeros,) = super().initial_state(batch_size)
        return (zeros + FIRST,)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        z, n = self._gates(self.into(x))
        h = h + z * (n - h)
        return h, (h,)

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        hs = mixed(*self._gates(self.into(xs).to(h.dtype)), h)
        return hs, (hs[-1],)

    def _gates(self, into: Tensor) -> tuple[Tensor, Tensor]:
        z, n = into.chunk(2, dim=-1)
        return torch.sigmoid(z), positive(n)


@hookimpl
def textgen_cells() -> dict[str, type[Cell]]:
    return {"mingru": MinGRU}
