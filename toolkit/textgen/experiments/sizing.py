"""Equal parameters: the width at which a cell's network has as many as another's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from textgen.contracts.errors import UserError
from textgen.training.network import Network

_WIDEST = 1 << 20
_GAP = 128
"""Widths in a row that a cell may refuse: some are a multiple of their number of heads."""


@dataclass(frozen=True)
class Size:
    """A network's width, and its parameters by part."""

    hidden_size: int
    embedding: int
    recurrent: int
    """The cells, and what stands between them."""
    head: int

    @property
    def total(self) -> int:
        return self.embedding + self.recurrent + self.head

    def differs(self, target: int) -> float:
        """By which share of ``target`` there are more."""
        return (self.total - target) / target


Build = Callable[[int], Network]
"""The network of a width. It may raise anything where there is none."""


def size_at(build: Build, hidden_size: int) -> Size:
    """The size of the network of this width; raises what ``build`` does."""
    try:
        with torch.device("meta"):  # no memory, no numbers drawn
            network = build(hidden_size)
    except UserError:
        raise
    except Exception:  # of a cell that computes its first weights, which have no values there
        network = build(hidden_size)
    embedding = sum(p.numel() for p in network.embedding.parameters()) if _embeds(network) else 0
    head = sum(p.numel() for p in network.head.parameters())
    total = sum(p.numel() for p in network.parameters())
    return Size(hidden_size, embedding, total - embedding - head, head)


def solve(build: Build, target: int) -> Size:
    """The size nearest to ``target`` parameters, of a network that grows with its width.

    Widths that the cell refuses are left out; raises what it raised where it refuses all.
    """
    low = high = _first(build, 1, 1 + _GAP) or size_at(build, 1)
    while high.total < target and high.hidden_size < _WIDEST:
        wider = _first(build, 2 * high.hidden_size, 2 * high.hidden_size + _GAP)
        low, high = high, wider or high
        if wider is None:
            return low
    # the nearest above is at ``high``; between ``low`` and ``top`` nothing has been tried
    top = high.hidden_size
    while top - low.hidden_size > 1:
        middle = (low.hidden_size + top) // 2
        found = _first(build, middle, top)
        if found is not None and found.total < target:
            low = found
        else:
            top, high = middle, found or high
    return min(low, high, key=lambda size: abs(size.total - target))


def _first(build: Build, start: int, before: int) -> Size | None:
    """The size of the first width from ``start`` on that can be built."""
    for hidden_size in range(start, min(before, start + _GAP)):
        try:
            return size_at(build, hidden_size)
        except Exception:  # whatever a cell raises for a width that it cannot have
            continue
    return None


def _embeds(network: Network) -> bool:
    return bool(network.embedding_size)
