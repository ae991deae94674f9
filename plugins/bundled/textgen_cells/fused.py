"""Runs torch's fused recurrent kernels (oneDNN, cuDNN) over a cell's own weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from textgen.contracts.cell import Cell

# cuDNN copies the weights together at each scan, once a chunk: little beside what it computes
warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")


def scan_weights(cell: Cell) -> list[Tensor]:
    """The cell's weights in the order that kernels take them."""
    # get_parameter would refuse a weight that was dropped: it is no parameter
    return [getattr(cell, name) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def fused(
    kernel: Callable[..., Any], xs: Tensor, state: Any, weights: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """One layer of ``torch.lstm``, ``torch.gru`` or ``torch.rnn_tanh`` over ``xs`` (T, B, D).

    ``state`` is as the kernel takes it, one leading dimension for the layer. Returns the outputs
    (T, B, H) and the last states (1, B, H).
    """
    if xs.device.type == "cuda" and torch.is_autocast_enabled("cuda"):
        # autocast itself casts what cuDNN's kernels take to float16, whatever its own type is
        # (ATen/cudnn/AutocastRNN.cpp): gradients would vanish in it
        kind = torch.get_autocast_dtype("cuda")
        cast = state.to(kind) if isinstance(state, Tensor) else [part.to(kind) for part in state]
        with torch.autocast("cuda", enabled=False):
            return fused(kernel, xs.to(kind), cast, [weight.to(kind) for weight in weights])
    # "train" keeps what the backward pass needs, so it follows the gradient, not the cell's mode
    result: tuple[Tensor, ...] = kernel(
        xs,
        state,
        list(weights),
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=torch.is_grad_enabled(),
        bidirectional=False,
        batch_first=False,
    )
    return result


def fused_scan(
    kernel: Callable[..., Any], xs: Tensor, h: Tensor, *weights: Tensor
) -> tuple[Tensor, Tensor]:
    """``fused`` for a cell whose one state ``h`` (B, H) is its output: outputs and last state."""
    ys, last = fused(kernel, xs, h.unsqueeze(0), weights)
    return ys, last.squeeze(0)
