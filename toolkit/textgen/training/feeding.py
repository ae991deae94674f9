"""Feeding: the symbols of a step, brought to the device that learns from them.

T time, B batch. A text that a GPU has room for is kept there whole, and each step takes its rows
out of it: what crosses over is where they begin. Any other stays in its file, memory-mapped, and
each step's symbols cross over, from pinned memory where that lets the device go on meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from textgen.training.streams import Batch

IGNORED = -100
"""The target of padding; cross-entropy leaves it out."""

_ROOM = 0.25
"""Share of a GPU's free memory that a text may take: weights, activations and their gradients need
the rest."""


class Fed(NamedTuple):
    """A step's symbols: ``inputs`` and ``targets`` (T, B) int64, ``reset`` (B,) bool."""

    inputs: Tensor
    targets: Tensor
    reset: Tensor


Feed = Callable[[Batch], Fed]


def build_feed(ids: np.ndarray, boundary: int, device: torch.device) -> Feed:
    """What brings batches of packed ``ids`` to the device, the fastest way it has room for."""
    if device.type == "cuda" and ids.nbytes <= _ROOM * torch.cuda.mem_get_info(device)[0]:
        return ResidentFeed(ids, boundary, device)
    return MappedFeed(ids, boundary, device)


class MappedFeed:
    """Reads ``ids`` where they lie, row by row."""

    def __init__(self, ids: np.ndarray, boundary: int, device: torch.device) -> None:
        self._ids = ids
        self._boundary = boundary
        self._device = device

    def __call__(self, batch: Batch) -> Fed:
        inputs = np.full((batch.length, len(batch.reset)), self._boundary, np.int64)
        targets = np.full((batch.length, len(batch.reset)), IGNORED, np.int64)
        for row, (start, end) in enumerate(
            zip(batch.starts.tolist(), batch.ends.tolist(), strict=True)
        ):
            count = end - start
            if count:
                text = self._ids[start - 1 : end]
                inputs[:count, row] = text[:-1]
                targets[:count, row] = text[1:]
        inputs[0, batch.reset] = self._boundary
        return Fed(*(_sent(part, self._device) for part in (inputs, targets, batch.reset)))


class ResidentFeed:
    """Keeps ``ids`` on the device, in as few bytes each as torch can look them up in."""

    def __init__(self, ids: np.ndarray, boundary: int, device: torch.device) -> None:
        self._boundary = boundary
        self._device = device
        self._ids = torch.from_numpy(_narrow(ids)).to(device)

    def __call__(self, batch: Batch) -> Fed:
        rows = np.stack([batch.starts, batch.ends, batch.reset])
        starts, ends, reset = _sent(rows, self._device)
        reset = reset.bool()
        steps = torch.arange(batch.length + 1, device=self._device).unsqueeze(1)
        places = starts + steps
        text = self._ids[(places - 1).clamp_(0, len(self._ids) - 1)].long()
        within = places[:-1] < ends
        inputs = text[:-1].masked_fill(~within, self._boundary)
        inputs[0].masked_fill_(reset, self._boundary)
        return Fed(inputs, text[1:].masked_fill(~within, IGNORED), reset)


def _sent(part: np.ndarray, device: torch.device) -> Tensor:
    """The array on the device, whose queue is not waited for."""
    tensor = torch.from_numpy(part)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _narrow(ids: np.ndarray) -> np.ndarray:
    """A copy of ``ids`` (n,) in a type of torch's that holds them all."""
    if ids.dtype == np.uint8:
        return np.array(ids)
    largest = int(ids.max(initial=0))
    return ids.astype(np.int16 if largest < 2**15 else np.int32)
