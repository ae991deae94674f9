"""The exponential moving average of a network's weights."""

from __future__ import annotations

import copy

import torch

from textgen.training.network import Network


class Average:
    """A network whose weights follow another's, each step by ``1 - decay`` of the way.

    Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging (1992). The decay
    rises as (1 + n) / (10 + n) with the n-th step until it is ``decay``, so that a short training
    forgets its beginning too.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.steps = 0
        self._decay = decay

    def follow(self, network: Network) -> None:
        """Takes in the weights of ``network`` after a step."""
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for mean, weight in zip(self.network.parameters(), network.parameters(), strict=True):
                mean.lerp_(weight, 1 - decay)
            for kept, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
                kept.copy_(buffer)
