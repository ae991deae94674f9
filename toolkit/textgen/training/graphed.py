"""CUDA graphs of scans, for cells that have none but the loop of their steps.

On a GPU such a loop waits for the launches of its many small kernels. A CUDA graph holds all of
them, forward and backward, and is launched at once. torch.compile gains nothing on recurrent
modules (pytorch#141184) and takes minutes; a graph is captured in a moment, and computes the same
kernels.

Not measured yet: no GPU was at hand when this was written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from textgen.contracts.cell import Cell, State

Scan = Callable[..., tuple[Tensor, ...]]
"""``xs`` (T, B, D) and the parts of a state to the outputs and the parts of the last state."""

_OFTEN = 3
"""Times that arguments of one kind come before a graph of them pays."""

_MOST = 8
"""Graphs at most: each keeps its memory. Batches of documents are of many lengths."""


class ScanGraphs:
    """A network's graphs, one for each cell and kind of arguments that comes often.

    ``capture`` makes one from the module that scans and a sample of its arguments.
    """

    def __init__(self, capture: Callable[[nn.Module, tuple[Tensor, ...]], Scan] | None = None):
        self._capture = _captured if capture is None else capture
        self._scans: dict[Any, Scan] = {}
        self._seen: Counter[Any] = Counter()

    def __deepcopy__(self, memo: object) -> ScanGraphs:
        """None of them: a graph is of its own cell's weights, where they lie."""
        return ScanGraphs(self._capture)

    @property
    def captured(self) -> bool:
        """Whether there is a graph."""
        return bool(self._scans)

    def scan(self, cell: Cell, xs: Tensor, state: State) -> tuple[Tensor, State]:
        """``cell.scan``."""
        kind = xs.device.type
        cast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        key = (cell, cast, *((t.shape, t.dtype, t.requires_grad) for t in (xs, *state)))
        scan = self._scans.get(key)
        if scan is None:
            self._seen[key] += 1
            if self._seen[key] < _OFTEN or len(self._scans) >= _MOST:
                return cell.scan(xs, state)
            sample = tuple(t.detach().clone().requires_grad_(t.requires_grad) for t in (xs, *state))
            scan = self._scans[key] = self._capture(_Scan(cell, cast), sample)
        ys, *last = scan(xs, *state)
        # the next replay writes over what a graph put out, and the state is carried beyond it
        return ys, tuple(part.clone() for part in last)


class _Scan(nn.Module):
    """A cell's scan over flat arguments. It enters autocast by itself: a graph captured within
    autocast would have its backward pass there too (pytorch#120930), and may cache no casts."""

    def __init__(self, cell: Cell, cast: torch.dtype | None) -> None:
        super().__init__()
        self.cell = cell
        self._cast = cast

    def forward(self, xs: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        kind = xs.device.type
        with torch.autocast(kind, self._cast, enabled=self._cast is not None, cache_enabled=False):
            ys, last = self.cell.scan(xs, state)
        return ys, *last


def _captured(module: nn.Module, sample: tuple[Tensor, ...]) -> Scan:
    """The module's graph. What fails while it is captured raises RuntimeError."""
    device = sample[0].device
    # capture is on the current device, and one that fails does not leave its stream by itself
    with (
        torch.cuda.device(device),
        torch.cuda.stream(torch.cuda.current_stream(device)),
        torch.autocast(device.type, enabled=False),
    ):
        graphed: Any = torch.cuda.make_graphed_callables(module, sample, allow_unused_input=True)
    scan: Scan = graphed
    return scan
