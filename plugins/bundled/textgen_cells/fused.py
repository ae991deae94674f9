"""Runs torch's fused recurrent kernels (oneDNN, cuDNN) over a cell's own weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from textgen.contracts.cell import Cell

# cuDNN copies the weights together at each scan, once a chunk: little beside what it computes
warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")


def fused(kernel: Callable[..., Any], xs: Tensor, state: Any, cell: Cell) -> tuple[Tensor, ...]:
    """One layer of ``torch.lstm``, ``torch.gru`` or ``torch.rnn_tanh`` over ``xs`` (T, B, D).

    ``state`` is as the kernel takes it, one leading dimension for the layer. Returns the outputs
    (T, B, H) and the last states (1, B, H).
    """
    # get_parameter would refuse a weight that was dropped: it is no parameter
    weights: list[Tensor] = [
        getattr(cell, name) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    # "train" keeps what the backward pass needs, so it follows the gradient, not the cell's mode
    result: tuple[Tensor, ...] = kernel(
        xs,
        state,
        weights,
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=torch.is_grad_enabled(),
        bidirectional=False,
        batch_first=False,
    )
    return result
