"""Which kernels a network's scan runs: found out by watching one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from textgen.training.device import autocast
from textgen.training.network import Network

FUSED = "fused"
"""All steps in one kernel of oneDNN, cuDNN, MIOpen or Metal."""
OWN = "own scan"
"""All steps at once, or in a loop with a backward pass of its own: as the cell wrote it."""
STEPS = "loop of steps"
"""One step after the other, through autograd."""

GRAPHS = "loop of steps in CUDA graphs"
"""The same, launched at once."""

_FUSED = ("mkldnn_rnn_layer", "_cudnn_rnn", "miopen_rnn", "_lstm_mps")


class _Operators(TorchDispatchMode):
    """Notes the names of the operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        self.names.add(str(func))
        return func(*args, **(kwargs or {}))


def kernel_path(network: Network, precision: str) -> str:
    """How the network's cells are scanned in training, in this precision on its device."""
    if network.looped:
        return STEPS
    device = network.head.weight.device
    tokens = torch.zeros(2, 2, dtype=torch.int64, device=device)
    with _Operators() as seen, autocast(device, precision):
        network(tokens, network.initial_state(2))
    return FUSED if any(name in called for called in seen.names for name in _FUSED) else OWN
