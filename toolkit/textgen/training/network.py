"""The network: embedding -> stacked cells -> head.

T time, B batch, V vocabulary, E embedding size, H hidden size.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from textgen.contracts.cell import Cell, Layer, State
from textgen.training.settings import Settings


class Network(nn.Module):
    """A language model over symbols, one recurrent cell a layer.

    ``embedding_size=0`` feeds 1-of-V vectors to the first cell. The state of the whole stack is one
    flat tuple, in the order of ``state_shapes()``. Dropout falls on every cell's output.
    """

    def __init__(
        self,
        cell_class: type[Cell],
        vocabulary_size: int,
        *,
        hidden_size: int,
        layers: int = 1,
        embedding_size: int = 0,
        dropout: float = 0.0,
        cell_options: Any = None,
    ) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.hidden_size = hidden_size
        self.embedding_size = embedding_size
        self.dropout = dropout
        options = cell_class.Options() if cell_options is None else cell_options
        if embedding_size:
            self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        cells = nn.ModuleList()
        width = embedding_size or vocabulary_size
        for index in range(layers):
            cell = cell_class(Layer(width, hidden_size, index, layers, options))
            _start_orthogonal(cell)
            cells.append(cell)
            width = cell.output_size
        self.cells = cells
        self.head = nn.Linear(width, vocabulary_size)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each state without B, named ``layer0.h`` and so on."""
        return {
            f"layer{index}.{name}": shape
            for index, cell in enumerate(self.stack())
            for name, shape in cell.state_shapes().items()
        }

    def initial_state(self, batch_size: int) -> State:
        """The state before the first symbol, (B, ...) each."""
        return tuple(part for cell in self.stack() for part in cell.initial_state(batch_size))

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """One symbol a row: ``token`` (B,) int64 to logits (B, V) and the next state."""
        output = self._input(token)
        following: list[Tensor] = []
        for cell, part in zip(self.stack(), self._split(state), strict=True):
            output, part = cell.step(output, part)
            following += part
        return self.head(output), tuple(following)

    def scan(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Many symbols a row: ``tokens`` (T, B) int64 to logits (T, B, V) and the last state."""
        output = self._input(tokens)
        following: list[Tensor] = []
        for cell, part in zip(self.stack(), self._split(state), strict=True):
            output, part = cell.scan(output, part)
            # under autocast the fused LSTM returns bf16 state and the GRU float32 (measured)
            following += [tensor.to(state[0].dtype) for tensor in part]
            output = dropout(output, self.dropout, self.training)
        return self.head(output), tuple(following)

    def _input(self, tokens: Tensor) -> Tensor:
        if self.embedding_size:
            embedded: Tensor = self.embedding(tokens)
            return embedded
        symbols = torch.arange(self.vocabulary_size, device=tokens.device)
        return (tokens.unsqueeze(-1) == symbols).to(self.head.weight.dtype)

    def _split(self, state: State) -> list[State]:
        parts, start = [], 0
        for cell in self.stack():
            count = len(cell.state_shapes())
            parts.append(tuple(state[start : start + count]))
            start += count
        return parts

    def stack(self) -> list[Cell]:
        """The cells, the one nearest the input first."""
        return cast("list[Cell]", list(self.cells))


def build_network(
    vocabulary_size: int, cell_class: type[Cell], cell_options: Any, settings: Settings
) -> Network:
    """The network of the settings, with fresh weights."""
    return Network(
        cell_class,
        vocabulary_size,
        hidden_size=settings.hidden_size,
        layers=settings.layers,
        embedding_size=settings.embedding_size,
        dropout=settings.dropout,
        cell_options=cell_options,
    )


def _start_orthogonal(cell: Cell) -> None:
    """Square blocks of the recurrent weights start orthogonal (Saxe et al., arXiv 1312.6120)."""
    for name in cell.recurrent_weights:
        weight = cell.get_parameter(name)
        if weight.dim() != 2:  # a vector weighs each unit's own state: the cell knows best
            continue
        for block in torch.split(weight.data, weight.shape[1]):
            nn.init.orthogonal_(block)
