"""The contract of a recurrent cell.

B batch, T time, D input size, H hidden size. A cell is written by its equations, in ``step``;
everything else (training, export, sampling, scoring) follows from them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from textgen.contracts.options import NoOptions

State = tuple[Tensor, ...]
"""One float32 tensor of shape (B, ...) for each name in ``Cell.state_shapes()``, in its order."""


@dataclass(frozen=True)
class Layer:
    """Where a cell stands in a stack. May gain fields; take what you need by name."""

    input_size: int
    hidden_size: int
    index: int = 0
    count: int = 1
    options: Any = None


class Cell(nn.Module, ABC):
    """One recurrent layer.

    State is an argument and a result, never an attribute. Nothing may look across B or T other
    than through the state, and in eval mode nothing may be random. Stacking, dropout, resets and
    weight tying belong to the core.
    """

    Options: ClassVar[type] = NoOptions
    """Dataclass of the cell's options (see ``textgen.contracts.options``)."""

    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    """Names of the parameters that multiply the state. They start orthogonal, block by block, and
    can be dropped (DropConnect). Left empty, options that need them are refused."""

    output_bound: ClassVar[float | None] = None
    """A number that ``|output|`` never exceeds, if there is one: int8 then needs no search."""

    tolerance: ClassVar[float] = 1e-5
    """Largest relative difference of ``scan`` from ``step`` in float32; at most 1e-3."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    @property
    def output_size(self) -> int:
        """Width of the output; the next layer's input size. H unless overridden."""
        return self.layer.hidden_size

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each state without B, by name; names match ``[a-z][a-z0-9_]*``.

        Vectors, matrices and windows of past inputs are all states.
        """
        return {"h": (self.layer.hidden_size,)}

    def initial_state(self, batch_size: int) -> State:
        """The state before the first symbol; all B rows equal. Zeros unless overridden."""
        where = next(self.parameters(), torch.empty(0))
        return tuple(
            torch.zeros(batch_size, *shape, dtype=where.dtype, device=where.device)
            for shape in self.state_shapes().values()
        )

    @abstractmethod
    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: ``x`` (B, D) and a state to the output (B, output_size) and next state.

        This is the definition of the cell. It is exported as it stands, so it is made of tensor
        operations only, without Python branches on values, and changes none of its arguments.
        """

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps of ``xs`` (T, B, D): the outputs (T, B, output_size) and the last state.

        Override it with a faster form over the same parameters; in eval mode it equals a loop of
        ``step``, which is what this default is.
        """
        outputs = []
        for x in xs:
            output, state = self.step(x, state)
            outputs.append(output)
        return torch.stack(outputs), state
