"""Optimizers and the schedule of their learning rate."""

from __future__ import annotations

import math

import torch
from torch import nn

from textgen.training.settings import Settings


def build_optimizer(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """The optimizer of the settings over all of the network's parameters.

    AdamW: Loshchilov and Hutter, arXiv 1711.05101. RMSProp: Tieleman and Hinton 2012. Adagrad:
    Duchi, Hazan and Singer 2011.
    """
    parameters = list(network.parameters())
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adamw":
        betas = (settings.beta1, settings.beta2)
        return torch.optim.AdamW(parameters, rate, betas, weight_decay=decay, fused=True)
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(
            parameters, rate, settings.beta2, weight_decay=decay, momentum=settings.momentum
        )
    if settings.optimizer == "adagrad":
        return torch.optim.Adagrad(parameters, rate, weight_decay=decay)
    return torch.optim.SGD(parameters, rate, settings.momentum, weight_decay=decay)


def learning_rate(settings: Settings, step: int, steps: int, epoch: float = 0.0) -> float:
    """The learning rate of step ``step`` of ``steps``: a linear rise, then the schedule's fall.

    The cosine falls to a hundredth of the highest rate (Loshchilov and Hutter, arXiv 1608.03983).
    The epoch schedule has char-rnn's factor at the end of each of the ``epoch`` passes made, from
    the one numbered ``decay_after`` on.
    """
    highest = settings.learning_rate
    warmup = min(settings.warmup_steps, steps // 4)
    if step < warmup:
        return highest * (step + 1) / (warmup + 1)
    if settings.schedule == "cosine":
        done = (step - warmup) / max(1, steps - warmup)
        return highest * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
    if settings.schedule == "step":
        return highest * settings.decay_rate ** (step // settings.decay_steps)
    if settings.schedule == "epoch":
        return highest * settings.decay_rate ** max(
            0, int(epoch) - max(0, settings.decay_after - 1)
        )
    return highest
