"""A step of each cell before its training begins: one that does not return what a cell returns is
then told of by its name, and not by what later fails."""

from __future__ import annotations

import torch

from textgen.contracts.cell import Cell
from textgen.contracts.errors import PluginError
from textgen.training.network import Network

_ROWS = 2


def rehearse(network: Network) -> None:
    """Raises PluginError where a step returns other things or shapes than the contract says; what
    a cell raises itself goes through. Draws no random numbers, and changes nothing."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for cell in network.stack():
                _rehearse(cell)
    finally:
        network.train(training)


def _rehearse(cell: Cell) -> None:
    like = next(cell.parameters(), torch.empty(0))
    x = torch.zeros(_ROWS, cell.layer.input_size, dtype=like.dtype, device=like.device)
    stepped = cell.step(x, cell.initial_state(_ROWS))
    if not (isinstance(stepped, tuple) and len(stepped) == 2 and isinstance(stepped[1], tuple)):
        raise _other(cell, f"a {type(stepped).__name__}", "an output and a tuple of states")
    output, state = stepped
    _compare(cell, "an output", [output], [(cell.output_size,)])
    _compare(cell, "states", state, list(cell.state_shapes().values()))


def _compare(
    cell: Cell, what: str, found: list[object] | tuple[object, ...], shapes: list[tuple[int, ...]]
) -> None:
    got = [tuple(t.shape) if isinstance(t, torch.Tensor) else type(t).__name__ for t in found]
    wanted = [(_ROWS, *shape) for shape in shapes]
    if got != wanted:
        raise _other(cell, f"{what} of the shapes {got}", str(wanted))


def _other(cell: Cell, found: str, wanted: str) -> PluginError:
    return PluginError(
        f"A step of the cell {type(cell).__name__} returns {found}, and not {wanted}.",
        "textgen plugins check tries its rules.",
    )
