"""What keeps the states of minGRU and minLSTM above zero."""

from __future__ import annotations

import torch
from torch import Tensor

FIRST = 0.5
"""``positive(0)``: what a state is before the first symbol."""


def positive(x: Tensor) -> Tensor:
    """g of arXiv 2410.01201, appendix B: ``x + 0.5`` above zero, ``sigmoid(x)`` below.

    It is continuous and rising, and never zero: there the logarithm of a state is taken.
    """
    above = torch.relu(x)
    return above + torch.sigmoid(x - above)
