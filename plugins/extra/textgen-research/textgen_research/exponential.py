"""What the cells with exponential gates have in common."""

from __future__ import annotations

import torch
from torch import Tensor


def log_sigmoid(x: Tensor) -> Tensor:
    """log(sigmoid(x)), as the first of a log_softmax over x / 2 and -x / 2.

    onnxruntime rounds that alike in whatever row it stands; of Softplus and Log the last bit
    depends on the batch (measured).
    """
    return torch.log_softmax(torch.stack([x / 2, -x / 2], dim=-1), dim=-1)[..., 0]


def least(m: Tensor) -> Tensor:
    """exp(-m), what 1 is in the scale of a stabilised memory; never infinite, whose gradient is
    not a number."""
    return torch.exp(-m.clamp(min=-80))


def normalised(read: Tensor) -> Tensor:
    """What heads have read (..., N, E) at a root mean square of one each, side by side.

    The division before it may be by a small difference of large numbers; the norm takes out what
    all of a head have in common, that error with it.
    """
    scale = torch.rsqrt(read.square().mean(-1, keepdim=True) + 1e-6)
    return (read * scale).flatten(-2)
