"""Dynamic evaluation: the network goes on learning from the text that it is evaluated on.

Each chunk is predicted before it is learnt from, so nothing is seen in advance; but the figure is
of a network that has read the text, and stands beside the plain one, never in its place. Mikolov et
al., Recurrent Neural Network Based Language Model (2010); Krause et al., Dynamic Evaluation of
Neural Sequence Models (2017), arXiv 1709.07432.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from textgen.corpus.ranges import Range, context
from textgen.losses import Loss
from textgen.training.network import Network

RATE = 0.1
"""Learning rate of plain gradient descent where none is given."""

_CHUNK = 32
_CLIP = 1.0


def dynamic_loss(
    network: Network, ids: np.ndarray, ranges: Iterable[Range], boundary: int, rate: float = RATE
) -> Loss:
    """The loss on the ranges of ``ids``, in their order, each read from the initial state, the
    weights learning on from one to the next. ``network`` itself stays as it is.

    A step of gradient descent at ``rate`` follows every 32 symbols, its gradient's norm at most 1.
    """
    learner = copy.deepcopy(network).eval()
    optimizer = torch.optim.SGD(learner.parameters(), rate)
    nats, symbols = 0.0, 0
    for start, end in ranges:
        first = context(ids, start, boundary)
        text = torch.from_numpy(np.r_[boundary, ids[first:end]].astype(np.int64)).unsqueeze(1)
        targets = text[1:].clone()
        targets[: start - first] = -100  # read, not predicted
        state = learner.initial_state(1)
        for low in range(0, len(targets), _CHUNK):
            inputs, wanted = text[:-1][low : low + _CHUNK], targets[low : low + _CHUNK]
            logits, state = learner.scan(inputs, tuple(part.detach() for part in state))
            total = cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="sum")
            counted = int((wanted != -100).sum())
            nats, symbols = nats + float(total.detach()), symbols + counted
            optimizer.zero_grad()
            torch.autograd.backward(total / max(1, counted))
            torch.nn.utils.clip_grad_norm_(learner.parameters(), _CLIP)
            optimizer.step()
    return Loss(nats / max(1, symbols), symbols)
