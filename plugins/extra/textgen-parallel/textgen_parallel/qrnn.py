"""The quasi-recurrent network of Bradbury et al. (2016), arXiv 1611.01576, with fo-pooling.

W window, D input size, H hidden size. Equations 1 to 5: convolutions in time make the candidate and
the gates of the last W inputs, and the pooling is the recurrence. Past inputs are a state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen_parallel.mixing import mixed

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    window: int = option(2, "inputs that the gates see, this one and those before", minimum=1)


class QRNN(Cell):
    """QRNN: gates of the last inputs and an LSTM's memory, learnt in parallel."""

    Options: ClassVar[type] = Options
    output_bound: ClassVar[float | None] = 1.0

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.into = nn.Linear(layer.options.window * layer.input_size, 3 * layer.hidden_size)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        layer, before = self.layer, self.layer.options.window - 1
        past = {"past": (before, layer.input_size)} if before else {}
        return {"c": (layer.hidden_size,), **past}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        c, *past = state
        seen = torch.cat([*past, x.unsqueeze(1)], dim=1)
        u, z, o = self._gates(self.into(seen.flatten(1)))
        c = c + u * (z - c)
        return o * c, (c, *(seen[:, 1:] for _ in past))

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        c, *past = state
        seen = torch.cat([*(part.transpose(0, 1) for part in past), xs])
        window = self.layer.options.window
        inputs = torch.cat([seen[w : w + len(xs)] for w in range(window)], dim=-1)
        u, z, o = self._gates(self.into(inputs).to(c.dtype))
        cs = mixed(u, z, c)
        return o * cs, (cs[-1], *(seen[len(xs) :].transpose(0, 1) for _ in past))

    def _gates(self, into: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is not kept, the candidate, and the output gate."""
        f, z, o = into.chunk(3, dim=-1)
        return torch.sigmoid(-f), torch.tanh(z), torch.sigmoid(o)


@hookimpl
def textgen_cells() -> dict[str, type[Cell]]:
    return {"qrnn": QRNN}
