"""The contract of an optimizer: what turns gradients into steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch

from textgen.contracts.options import NoOptions


class Optimizer(ABC):
    """Builds a ``torch.optim.Optimizer``.

    The schedule, clipping, and the average over ranks belong to the core: before each step it sets
    every group's ``lr``, and each parameter's ``grad`` is that of the whole batch.
    """

    Options: ClassVar[type] = NoOptions
    """Dataclass of the optimizer's options (see ``textgen.contracts.options``)."""

    second_order: ClassVar[bool] = False
    """Whether ``step`` takes derivatives of the gradients. Each ``grad`` then has a graph, through
    which ``torch.autograd.grad(grads, parameters, vectors)`` is a Hessian-vector product of the
    loss before clipping. The product of the whole batch needs all of it in one process, so several
    ranks are refused."""

    @staticmethod
    @abstractmethod
    def build(groups: list[dict[str, Any]], options: Any) -> torch.optim.Optimizer:
        """The optimizer of ``groups`` as torch takes them, each with ``params`` and ``lr``.

        A checkpoint holds no pickle: what is kept for a parameter, in ``state[parameter]``, and
        what changes in a group are tensors, numbers, strings and None, by name. Random numbers come
        from torch's generator, which a checkpoint holds too. Anything else is refused after the
        first step.
        """
