"""The mLSTM: Beck et al., xLSTM: Extended Long Short-Term Memory (2024), arXiv 2405.04517.

N heads, E = H / N. Equations 19 to 27, a head: C = f C + i v k^T, n = f n + i k, i = exp(..) and
h = o * norm(C q / max(|n q|, 1)), with the norm that the authors put behind the memory (as in
arXiv 2503.13427). C and n are kept divided by exp(m), so that nothing overflows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.errors import UserError
from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen_research.exponential import least, log_sigmoid, normalised
from textgen_research.mlstm_scan import mlstm_scan

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    heads: int = option(4, "matrices; the hidden size is a multiple of it", minimum=1)


class MLSTM(Cell):
    """mLSTM of xLSTM: a matrix remembers values under their keys; gates see the input alone."""

    Options: ClassVar[type] = Options

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        size, heads = layer.hidden_size, layer.options.heads
        if size % heads:
            raise UserError(
                f"The hidden size {size} is not divisible by {heads} heads.",
                f"Give a multiple of {heads} as --hidden-size, or --cell-option heads=1.",
            )
        self.into = nn.Linear(layer.input_size, 4 * size + 2 * heads)
        with torch.no_grad():  # some heads remember for long, as in the authors' code
            self.into.bias[-heads:] = torch.linspace(3, 6, heads)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        heads = self.layer.options.heads
        width = self.layer.hidden_size // heads
        return {"c": (heads, width, width), "n": (heads, width), "m": (heads,)}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        c, n, m = state
        q, k, v, i, f, o = self._parts(x)
        kept = f + m
        m = torch.maximum(kept, i)
        i, f = torch.exp(i - m).unsqueeze(-1), torch.exp(kept - m).unsqueeze(-1)
        c = f.unsqueeze(-1) * c + (i * v).unsqueeze(-1) * k.unsqueeze(-2)
        n = f * n + i * k
        read = torch.matmul(c, q.unsqueeze(-1)).squeeze(-1)
        total = torch.maximum((n * q).sum(-1).abs(), least(m))
        return o * normalised(read / total.unsqueeze(-1)), (c, n, m)

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        q, k, v, i, f, o = self._parts(xs)
        read, state = mlstm_scan(q, k, v, i, f, state)
        return o * normalised(read), state

    def _parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """q, k and v (..., N, E), the logarithms of i and f (..., N), the output gate (..., H)."""
        size, heads = self.layer.hidden_size, self.layer.options.heads
        q, k, v, o, i, f = torch.split(self.into(x), [size] * 4 + [heads] * 2, dim=-1)
        q, k, v = (torch.unflatten(part, -1, (heads, -1)) for part in (q, k, v))
        return q, k * (size // heads) ** -0.5, v, i, log_sigmoid(f), torch.sigmoid(o)


@hookimpl
def textgen_cells() -> dict[str, type[Cell]]:
    return {"mlstm": MLSTM}
