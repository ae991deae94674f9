"""The network: embedding -> stacked cells -> head.

T time, B batch, V vocabulary, E embedding size, H hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.errors import UserError
from textgen.training.graphed import ScanGraphs
from textgen.training.ranks import ALONE
from textgen.training.regularisation import (
    NONE,
    Regularisation,
    drop,
    drop_symbols,
    dropped_weights,
    zoned_step,
)
from textgen.training.settings import Settings
from textgen.training.stacking import PLAIN, Joint, Stacking


class Scanned(NamedTuple):
    """What a scan found."""

    logits: Tensor
    """(T, B, V)"""
    state: State
    output: Tensor
    """The last layer's output (T, B, H), before anything is dropped from it."""
    dropped: Tensor
    """The same after."""


class Network(nn.Module):
    """A language model over symbols, one recurrent cell a layer.

    ``embedding_size=0`` feeds 1-of-V vectors to the first cell. The state of the whole stack is one
    flat tuple, in the order of ``state_shapes()``. Raises UserError for options that the sizes or
    the cell do not allow.
    """

    def __init__(
        self,
        cell_class: type[Cell],
        vocabulary_size: int,
        *,
        hidden_size: int,
        layers: int = 1,
        embedding_size: int = 0,
        stacking: Stacking = PLAIN,
        regularisation: Regularisation = NONE,
        cell_options: Any = None,
    ) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.hidden_size = hidden_size
        self.embedding_size = embedding_size
        self.regularisation = regularisation
        self.ranks = ALONE
        self.one_by_one = False
        """Whether a scan that learns takes the cells' steps: kernels have no second derivatives."""
        self._graphs: ScanGraphs | None = None
        options = cell_class.Options() if cell_options is None else cell_options
        if embedding_size:
            self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        cells, joints = nn.ModuleList(), nn.ModuleList()
        width = embedding_size or vocabulary_size
        for index in range(layers):
            cell = cell_class(Layer(width, hidden_size, index, layers, options))
            _start_orthogonal(cell)
            cells.append(cell)
            joints.append(Joint(stacking, width, cell.output_size))
            width = cell.output_size
        self.cells, self.joints = cells, joints
        self.head = nn.Linear(width, vocabulary_size)
        if stacking.tied:
            self._tie()
        self._refuse_idle(stacking)

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
        x = self._input(token)
        following: list[Tensor] = []
        for cell, joint, part in self._layers(state):
            y, part = self._stepped(cell, x, part)
            following += part
            x = joint(x, joint.norm(y))
        return self.head(x), tuple(following)

    def scan(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Many symbols a row: ``tokens`` (T, B) int64 to logits (T, B, V) and the last state."""
        scanned = self(tokens, state)
        return scanned.logits, scanned.state

    def forward(self, tokens: Tensor, state: State) -> Scanned:
        """A scan, and what else is known after it."""
        noise = self.regularisation if self.training else NONE
        x = self._input(tokens)
        x = drop_symbols(x, tokens, self.vocabulary_size, noise.embedding_dropout)
        x = drop(x, noise.input_dropout, locked=noise.locked, ranks=self.ranks)
        following: list[Tensor] = []
        for cell, joint, part in self._layers(state):
            y, part = self._scanned(cell, x, part)
            # under autocast the fused LSTM returns bf16 state and the GRU float32 (measured)
            following += [tensor.to(state[0].dtype) for tensor in part]
            dropped = drop(joint.norm(y), noise.dropout, locked=noise.locked, ranks=self.ranks)
            x = joint(x, dropped)
        return Scanned(self.head(x), tuple(following), y, dropped)

    def dropped_weights(self) -> dict[str, Tensor]:
        """The recurrent weights of a scan with weight drop, by name; for ``functional_call``."""
        share = self.regularisation.weight_drop
        return {
            f"cells.{index}.{name}": weight
            for index, cell in enumerate(self.stack() if share else ())
            for name, weight in dropped_weights(cell, share).items()
        }

    @property
    def looped(self) -> bool:
        """Whether a scan is a loop of steps, the cell having no faster one."""
        looped = self.regularisation.zoneout > 0 or self.one_by_one
        return looped or any(type(cell).scan is Cell.scan for cell in self.stack())

    @property
    def graphable(self) -> bool:
        """Whether CUDA graphs could run that loop: of cells whose weights stay where they are."""
        noise = self.regularisation
        hindered = noise.zoneout or noise.weight_drop or self.one_by_one
        return self.head.weight.device.type == "cuda" and self.looped and not hindered

    @property
    def graphed(self) -> bool:
        """Whether a scan has been captured, so that graphs are known to run."""
        return self._graphs is not None and self._graphs.captured

    def use_graphs(self, wanted: bool) -> None:
        """Whether scans of a training run in CUDA graphs, where they can."""
        if not (wanted and self.graphable):
            self._graphs = None
        elif self._graphs is None:
            self._graphs = ScanGraphs()

    def _stepped(self, cell: Cell, x: Tensor, state: State) -> tuple[Tensor, State]:
        share = self.regularisation.zoneout
        if share:
            return zoned_step(cell, x, state, share, training=self.training, ranks=self.ranks)
        return cell.step(x, state)

    def _scanned(self, cell: Cell, xs: Tensor, state: State) -> tuple[Tensor, State]:
        """The cell's fast path, which knows neither zoneout nor second derivatives everywhere."""
        if not (self.regularisation.zoneout or (self.one_by_one and self.training)):
            graphs = self._graphs if self.training else None
            return graphs.scan(cell, xs, state) if graphs else cell.scan(xs, state)
        outputs = []
        for x in xs:
            output, state = self._stepped(cell, x, state)
            outputs.append(output)
        return torch.stack(outputs), state

    def _input(self, tokens: Tensor) -> Tensor:
        if self.embedding_size:
            embedded: Tensor = self.embedding(tokens)
            return embedded
        symbols = torch.arange(self.vocabulary_size, device=tokens.device)
        return (tokens.unsqueeze(-1) == symbols).to(self.head.weight.dtype)

    def _tie(self) -> None:
        width = self.head.in_features
        if self.embedding_size != width:
            raise UserError(
                f"Tied weights need an embedding as wide as the last layer: {self.embedding_size} "
                f"is not {width}.",
                f"Give --embedding-size {width}, or leave out --tie-weights.",
            )
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)  # as Merity et al. (arXiv 1708.02182)
        self.head.weight = self.embedding.weight

    def _refuse_idle(self, stacking: Stacking) -> None:
        """Raises UserError for an option that would do nothing in this network."""
        cell = self.stack()[0]
        if self.regularisation.weight_drop and not cell.recurrent_weights:
            raise UserError(
                f"{type(cell).__name__} names no recurrent weights, so none can be dropped.",
                "Leave out --weight-drop.",
            )
        if all(joint.connection != stacking.connection for _, joint in self._joined()):
            raise UserError(
                f"A {stacking.connection} connection goes around a layer that is as wide as its "
                "input, and there is none.",
                f"Give --layers 2, or --embedding-size {cell.output_size}.",
            )

    def _joined(self) -> list[tuple[Cell, Joint]]:
        return list(zip(self.stack(), cast("list[Joint]", list(self.joints)), strict=True))

    def _layers(self, state: State) -> Iterator[tuple[Cell, Joint, State]]:
        """Each cell with what stands behind it, and its part of the state."""
        start = 0
        for cell, joint in self._joined():
            end = start + len(cell.state_shapes())
            yield cell, joint, tuple(state[start:end])
            start = end

    def stack(self) -> list[Cell]:
        """The cells, the one nearest the input first."""
        return cast("list[Cell]", list(self.cells))


def build_network(
    vocabulary_size: int, cell_class: type[Cell], cell_options: Any, settings: Settings
) -> Network:
    """The network of the settings, with fresh weights."""
    network = Network(
        cell_class,
        vocabulary_size,
        hidden_size=settings.hidden_size,
        layers=settings.layers,
        embedding_size=settings.embedding_size,
        stacking=Stacking(settings.connection, settings.layer_norm, settings.tie_weights),
        regularisation=Regularisation(
            dropout=settings.dropout,
            locked=settings.locked_dropout,
            input_dropout=settings.input_dropout,
            embedding_dropout=settings.embedding_dropout,
            weight_drop=settings.weight_drop,
            zoneout=settings.zoneout,
        ),
        cell_options=cell_options,
    )
    if settings.start_range:
        _start_uniform(network, settings.start_range)
    return network


def _start_uniform(network: Network, largest: float) -> None:
    """Matrices start as in char-rnn; biases stay what the cells know to be good."""
    for parameter in network.parameters():
        if parameter.dim() > 1:
            nn.init.uniform_(parameter, -largest, largest)


def _start_orthogonal(cell: Cell) -> None:
    """Square blocks of the recurrent weights start orthogonal (Saxe et al., arXiv 1312.6120)."""
    for name in cell.recurrent_weights:
        weight = cell.get_parameter(name)
        if weight.dim() != 2:  # a vector weighs each unit's own state: the cell knows best
            continue
        for block in torch.split(weight.data, weight.shape[1]):
            nn.init.orthogonal_(block)
