"""Cells of awkward shapes: a matrix state, a wide output, a learned start, options."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option

TEXTGEN_CONTRACT = 1


class FastWeights(Cell):
    """Keeps a matrix of outer products beside its vector."""

    recurrent_weights = ("mix",)

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.into = nn.Linear(layer.input_size, layer.hidden_size)
        self.mix = nn.Parameter(torch.empty(layer.hidden_size, layer.hidden_size))
        nn.init.orthogonal_(self.mix)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        size = self.layer.hidden_size
        return {"h": (size,), "memory": (size, size)}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, memory = state
        # scaled, so that the memory does not make the recurrence chaotic
        read = torch.matmul(memory, h.unsqueeze(-1)).squeeze(-1) / self.layer.hidden_size
        h = torch.tanh(self.into(x) + h @ self.mix.T + read)
        memory = 0.9 * memory + 0.1 * h.unsqueeze(-1) * h.unsqueeze(-2)
        return h, (h, memory)


class WideOutput(Cell):
    """Gives out its state and its input's image side by side: wider than H."""

    output_bound = 1.0

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.into = nn.Linear(layer.input_size, layer.hidden_size)
        self.mix = nn.Linear(layer.hidden_size, layer.hidden_size, bias=False)

    @property
    def output_size(self) -> int:
        return 2 * self.layer.hidden_size

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        image = self.into(x)
        h = torch.tanh(image + self.mix(h))
        return torch.cat([h, torch.sin(image)], dim=-1), (h,)


class LearnedStart(Cell):
    """Begins from a state it has learnt."""

    recurrent_weights = ("mix",)

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.into = nn.Linear(layer.input_size, layer.hidden_size)
        self.mix = nn.Parameter(torch.empty(layer.hidden_size, layer.hidden_size))
        nn.init.orthogonal_(self.mix)
        self.start = nn.Parameter(0.5 * torch.randn(layer.hidden_size))

    def initial_state(self, batch_size: int) -> State:
        return (self.start.expand(batch_size, -1),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        h = torch.tanh(self.into(x) + h @ self.mix.T)
        return h, (h,)


@dataclass(frozen=True)
class LeakyOptions:
    leak: float = option(0.5, "share of the old state that is kept", minimum=0, below=1)
    window: int = option(3, "inputs remembered", minimum=1)


class Leaky(Cell):
    """A leaky state and a window of past inputs, both sized by options."""

    Options = LeakyOptions

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.into = nn.Linear(layer.input_size * layer.options.window, layer.hidden_size)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        options = self.layer.options
        return {"h": (self.layer.hidden_size,), "past": (options.window, self.layer.input_size)}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, past = state
        past = torch.cat([past[:, 1:], x.unsqueeze(1)], dim=1)
        leak = self.layer.options.leak
        h = leak * h + (1 - leak) * torch.tanh(self.into(past.flatten(1)))
        return h, (h, past)


@hookimpl
def textgen_cells() -> dict[str, type[Cell]]:
    return {
        "fast-weights": FastWeights,
        "wide-output": WideOutput,
        "learned-start": LearnedStart,
        "leaky": Leaky,
    }
