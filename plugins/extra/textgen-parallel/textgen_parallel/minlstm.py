"""The minimal LSTM of Feng et al., Were RNNs All We Needed? (2024), arXiv 2410.01201.

The form of its appendix B (algorithms 7 and 8), with positive candidates and with gates that are
normalised to add up to one; computed without logarithms, as ``mingru`` says.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.hooks import hookimpl
from textgen_parallel.mixing import mixed
from textgen_parallel.positive import FIRST, positive

TEXTGEN_CONTRACT = 1


class MinLSTM(Cell):
    """minLSTM: gates and candidate see the input alone, so all symbols are learnt in parallel."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.into = nn.Linear(layer.input_size, 3 * layer.hidden_size)

    def initial_state(self, batch_size: int) -> State:
        (zeros,) = super().initial_state(batch_size)
        return (zeros + FIRST,)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        i, n = self._gates(self.into(x))
        h = h + i * (n - h)
        return h, (h,)

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        hs = mixed(*self._gates(self.into(xs).to(h.dtype)), h)
        return hs, (hs[-1],)

    def _gates(self, into: Tensor) -> tuple[Tensor, Tensor]:
        """The input gate's share of both gates, and the candidate."""
        f, i, n = into.chunk(3, dim=-1)
        f, i = torch.sigmoid(f), torch.sigmoid(i)
        return i / (f + i), positive(n)


@hookimpl
def textgen_cells() -> dict[str, type[Cell]]:
    return {"minlstm": MinLSTM}
