"""What the scans in ``gru_scan`` and ``rnn_scan`` have in common: backward passes written by hand.

Autograd over a loop of steps multiplies two thin matrices a step for the gradient of each weight,
and adds the results up. Here the loop is left with what only a loop can do, the chain from state to
state, in few operations; the rest is a handful of products over all T at once, as in Appleyard,
Kocisky and Blunsom, Optimizing Performance of Recurrent Neural Networks on GPUs (2016), arXiv
1604.01946. Torch's own GRU and RNN are such loops on the CPU, where this is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def computing_type(xs: Tensor) -> torch.dtype:
    """What products are computed in: autocast's type where it is on, else that of ``xs``."""
    kind = xs.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else xs.dtype


def total(rows: Tensor) -> Tensor:
    """The sum of the rows of (N, M), as a product: it adds in float32 whatever the type."""
    return torch.mm(rows.new_ones(1, len(rows)), rows).squeeze(0)


def fitted(gradients: Sequence[Tensor], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Each gradient in the type of its input."""
    return tuple(g.to(tensor.dtype) for g, tensor in zip(gradients, inputs, strict=True))


def differentiable(
    kernel: Callable[..., tuple[Tensor, ...]],
    inputs: Sequence[Tensor],
    gradients: Sequence[Tensor],
) -> tuple[Tensor | None, ...]:
    """The gradients of ``inputs``, from which more gradients can be taken.

    ``kernel`` computes the same outputs with operations that autograd knows.
    """
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    outputs = kernel(*inputs)
    found = iter(torch.autograd.grad(outputs, wanted, gradients, create_graph=True))
    return tuple(next(found) if tensor.requires_grad else None for tensor in inputs)
